"use strict";
// The slider: an ordinary range input over the picture; its value is where the earlier picture ends.
for (const range of document.querySelectorAll(".compare input")) {
  const frame = range.parentElement;
  const move = () => {
    frame.style.setProperty("--cut", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % before, ${100 - range.value} % after`);
  };
  range.addEventListener("input", move);
  move();
}
