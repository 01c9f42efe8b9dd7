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
      if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest(".scroll, .table, dialog")) return;
      if (event.key === "ArrowLeft") show(at - 1);
      if (event.key === "ArrowRight") show(at + 1);
    });
    show(0);
  }

  // What a reader can do with tables and pictures; without scripts they are simply shown.
  const button = (text, label, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
    return made;
  };
  const tools = (place, ...parts) => {
    const bar = document.createElement("div");
    bar.className = "tools";
    bar.append(...parts);
    place.before(bar);
  };
  const download = (name, kind, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: kind }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    said.textContent = `${name} was downloaded.`;
  };

  const LONG = 10; // rows from which a table can be filtered
  const quoted = (text) => `"${/^[=+@-]/.test(text) ? "'" : ""}${text.replaceAll('"', '""')}"`;
  const csvOf = (table) => [...table.rows].filter((row) => !row.hidden).map((row) =>
    [...row.cells].map((cell) => cell.dataset.order ?? quoted(cell.textContent.trim())).join(",")
  ).join("\r\n") + "\r\n";
  for (const table of document.querySelectorAll("table.sortable")) {
    const caption = table.caption.textContent.trim(), name = table.id.replace("table-", "");
    const parts = [];
    if (table.tBodies[0].rows.length >= LONG) {
      const label = document.createElement("label"), box = document.createElement("input");
      box.type = "search";
      label.append("Filter ", box);
      box.setAttribute("aria-label", `Filter: ${caption}`);
      box.addEventListener("input", () => {
        const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
        let shown = 0;
        for (const row of table.tBodies[0].rows) {
          const text = row.textContent.toLowerCase();
          row.hidden = !words.every((word) => text.includes(word));
          shown += !row.hidden;
        }
        said.textContent = `${shown} rows are shown.`;
      });
      parts.push(label);
    }
    parts.push(button("CSV", `Download as CSV: ${caption}`, () =>
      download(`${name}.csv`, "text/csv", csvOf(table))));
    tools(table.closest(".table"), ...parts);
  }

  const LOOKS = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity",
    "stroke-dasharray", "font-size", "font-weight", "font-family", "paint-order"];
  const svgOf = (svg) => {
    const copy = svg.cloneNode(true);
    const from = [svg, ...svg.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
    from.forEach((mark, n) => {
      const look = getComputedStyle(mark);
      for (const name of LOOKS) to[n].style.setProperty(name, look.getPropertyValue(name));
    });
    return `${new XMLSerializer().serializeToString(copy)}\n`;
  };
  const LARGEST = 8, STEP = 1.5;
  const enlarge = (figure) => {
    const svg = figure.querySelector("svg"), box = svg.viewBox.baseVal;
    const sheet = document.createElement("dialog"), room = document.createElement("div");
    const title = figure.querySelector(".title").textContent;
    sheet.setAttribute("aria-label", title);
    const copy = svg.cloneNode(true);
    copy.removeAttribute("aria-labelledby");
    for (const named of copy.querySelectorAll("[id]")) named.removeAttribute("id");
    copy.setAttribute("aria-label", title);
    let scale = Math.min(innerWidth * 0.9 / box.width, innerHeight * 0.8 / box.height);
    const fit = (by) => {
      scale = Math.min(Math.max(scale * by, 0.2), LARGEST);
      copy.setAttribute("width", box.width * scale);
      copy.setAttribute("height", box.height * scale);
    };
    fit(1);
    room.className = "room";
    room.tabIndex = 0;
    room.setAttribute("role", "region");
    room.setAttribute("aria-label", title);
    room.append(copy);
    const bar = document.createElement("div");
    bar.className = "tools";
    bar.append(
      button("+", "Larger", () => fit(STEP)),
      button("−", "Smaller", () => fit(1 / STEP)),
      button("Close", "Close", () => sheet.close()),
    );
    sheet.append(bar, room);
    room.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      fit(event.deltaY < 0 ? 1.1 : 1 / 1.1);
    }, { passive: false });
    sheet.addEventListener("close", () => sheet.remove());
    document.body.append(sheet);
    sheet.showModal();
  };
  for (const figure of document.querySelectorAll("figure[id]")) {
    const title = figure.querySelector(".title").textContent, svg = figure.querySelector("svg");
    tools(figure.querySelector(".scroll"),
      button("Zoom", `Zoom: ${title}`, () => enlarge(figure)),
      button("SVG", `Download as SVG: ${title}`, () =>
        download(`${figure.id.replace("figure-", "")}.svg`, "image/svg+xml", svgOf(svg))));
  }

  // A mark's title at once, beside the pointer or under the finger.
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true"); // readers hear the titles themselves
  const tell = (event) => {
    const mark = event.target.closest?.("svg.figure :is(polyline, polygon, path, rect, circle)");
    const words = mark?.querySelector("title")?.textContent;
    tip.hidden = !words;
    if (!words) return;
    (mark.closest("dialog") ?? document.body).append(tip);
    tip.textContent = words;
    const width = tip.offsetWidth, most = document.documentElement.clientWidth;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, most - width - 4))}px`;
    tip.style.top = `${event.clientY + 16}px`;
  };
  document.addEventListener("pointermove", tell);
  document.addEventListener("pointerdown", tell);

  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
})();
