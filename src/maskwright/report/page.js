// Sorting, enlarging, unfolding for print; without it everything is still there to read.
"use strict";
for (const button of document.querySelectorAll(".data thead button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), body = button.closest("table").tBodies[0];
    const key = (row) => row.cells[head.cellIndex].dataset.value;
    const falls = head.classList.contains("number")
      ? head.ariaSort !== "descending" : head.ariaSort === "ascending";
    const rows = [...body.rows].sort((one, two) => {
      const a = key(one), b = key(two);
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
      return falls ? -order : order;
    });
    for (const other of head.parentNode.cells) other.ariaSort = "none";
    head.ariaSort = falls ? "descending" : "ascending";
    body.append(...rows);
  });
}
const shots = [...document.querySelectorAll(".pictures button")];
const dialog = document.querySelector("dialog");
let shown = 0;
function show(index) {
  shown = (index + shots.length) % shots.length;
  const image = shots[shown].querySelector("img");
  dialog.querySelector("img").src = image.src;
  dialog.querySelector("img").alt = image.alt;
  dialog.querySelector("p").textContent = image.alt;
  if (!dialog.open) dialog.showModal();
}
shots.forEach((shot, index) => shot.addEventListener("click", () => show(index)));
dialog.addEventListener("click", () => dialog.close());
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowRight") show(shown + 1);
  if (event.key === "ArrowLeft") show(shown - 1);
});
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
