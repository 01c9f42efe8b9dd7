// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
"use strict";
(() => {
  const said = document.getElementById("said");
  const orderOf = (cell) => (cell.dataset.order === undefined ? null : Number(cell.dataset.order));
  const compare = (a, b) => {
    const x = orderOf(a), y = orderOf(b);
    if (x !== null && y !== null) return x - y;
    if (x !== null || y !== null) return x !== null ? -1 : 1;
    return a.textContent.localeCompare(b.textContent, "en", { numeric: true });
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const known = (row) => row.cells[column].textContent.trim() !== "–";
        const rows = [...body.rows].sort((a, b) => {
          if (known(a) !== known(b)) return known(a) ? -1 : 1;
          const order = compare(a.cells[column], b.cells[column]);
          return down ? -order : order;
        });
        body.append(...rows);
        said.textContent = `Sorted by ${head.textContent.trim()}, ${down ? "largest" : "smallest"} first.`;
      });
    });
  }
  for (const flip of document.querySelectorAll(".flip")) {
    const figures = [...flip.querySelectorAll("figure")];
    const bar = flip.querySelector(".turn");
    let at = 0;
    const show = (number) => {
      at = (number + figures.length) % figures.length;
      figures.forEach((figure, index) => { figure.hidden = index !== at; });
      bar.querySelector(".where").textContent = `${at + 1} of ${figures.length}`;
    };
    if (figures.length < 2) continue;
    bar.hidden = false;
    bar.querySelector(".back").addEventListener("click", () => show(at - 1));
    bar.querySelector(".on").addEventListener("click", () => show(at + 1));
    document.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest(".scroll, .table")) return;
      if (event.key === "ArrowLeft") show(at - 1);
      if (event.key === "ArrowRight") show(at + 1);
    });
    show(0);
  }
  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
})();
