"""How photos grow old: composable, seeded functions on float images.

Every function here makes a ``Degradation`` out of a few figures, which takes an image, (H, W, 3) float32 RGB in
[0, 1], and a generator for its random draws, and returns a new image of the same shape, type and range.

    chain     compose, sometimes, drawn; Ageing: tone (truth and photo alike) and damage (the photo alone)
    optics    blur, defocus, resample          what the lens and the scanner lose
    film      grain                            what the emulsion adds
    tone      fade, sepia, duotone             what light and time do to the whole print
    surface   scratches, dust                  what happens to the paper
    codec     jpeg                             what the file costs
"""
