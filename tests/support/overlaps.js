// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
// Pairs of texts that lie on each other, texts that are cut off, and figures that do not show.
(() => {
  const MOST = 2; // pixels that neighbours may share: the boxes of glyphs are larger than their ink
  const clipped = (rect, element) => {
    let { left, top, right, bottom } = rect;
    for (let at = element; at && at !== document.body; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (at !== element && style.overflowX === "visible" && style.overflowY === "visible") continue;
      if (at === element && !/auto|scroll|hidden|clip/.test(style.overflowX + style.overflowY)) continue;
      const box = at.getBoundingClientRect();
      left = Math.max(left, box.left); right = Math.min(right, box.right);
      top = Math.max(top, box.top); bottom = Math.min(bottom, box.bottom);
    }
    return { left, top, right, bottom };
  };
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.textContent.trim() || /^(SCRIPT|STYLE|title|desc)$/.test(element.tagName)) continue;
    const style = getComputedStyle(element);
    if (style.visibility === "hidden" || style.clipPath !== "none") continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const rect of range.getClientRects()) {
      const box = clipped(rect, element);
      if (box.right - box.left < 1 || box.bottom - box.top < 1 || box.right < 0) continue;
      texts.push({ ...box, node, text: node.textContent.trim().slice(0, 40) });
    }
  }
  texts.sort((a, b) => a.top - b.top);
  const overlaps = [];
  texts.forEach((a, at) => {
    for (let n = at + 1; n < texts.length && texts[n].top < a.bottom - MOST; n += 1) {
      const b = texts[n];
      if (a.node === b.node) continue;
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > MOST && high > MOST) overlaps.push(`${a.text} | ${b.text}`);
    }
  });
  const hidden = [...document.querySelectorAll("svg.figure")].filter((svg) => {
    const box = svg.getBoundingClientRect();
    return !svg.closest("[hidden]") && (box.width < 100 || box.height < 40);
  }).map((svg) => svg.querySelector("title").textContent);
  return { overlaps, hidden, texts: texts.length };
})()
