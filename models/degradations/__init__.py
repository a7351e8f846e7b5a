"""How photos grow old: composable, seeded functions on float images.

Every function here makes a ``Degradation`` out of a few figures, which takes an image, (H, W, 3) float32 RGB in
[0, 1], and a generator for its random draws, and returns a new image of the same shape, type and range.

    chain     compose, sometimes, drawn; Ageing: tone (truth and photo alike) and damage (the photo alone)
    optics    blur, stretched_blur, defocus, motion, resample, at_scale    what the lens and the scanner lose
    film      grain, noise                          what the emulsion and the sensor add
    tone      fade, gains, sepia, duotone           what light and time do to the whole print
    surface   scratches, folds, dust, blotches      what happens to the paper
    press     halftone                              what the printing press leaves
    codec     jpeg, rounded                         what the file costs
    archival  all of them together, as photos in archives have them

Two are published models of damage, not parts of ours:

    difface     blur, resolution, noise and JPEG, as blind face restoration is trained with
    controlled  PMRF's denoising, super-resolution, inpainting and colorization; on tensors
"""
