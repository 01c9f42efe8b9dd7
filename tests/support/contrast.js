// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors
// Every text whose contrast is below WCAG 2 AA: 4.5, or 3 where it is large.
(() => {
  const parsed = (css) => {
    const found = css.match(/rgba?\(([^)]*)\)/);
    if (!found) return null;
    const [r, g, b, a] = found[1].split(/[,/ ]+/).filter(Boolean).map(Number);
    return { rgb: [r, g, b], a: a === undefined ? 1 : a };
  };
  const over = (top, below) => top.rgb.map((c, i) => c * top.a + below[i] * (1 - top.a));
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => {
      const s = c / 255;
      return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const ground = (element) => {
    if (!element) return [255, 255, 255];
    const colour = parsed(getComputedStyle(element).backgroundColor);
    if (!colour || colour.a === 0) return ground(element.parentElement);
    return colour.a === 1 ? colour.rgb : over(colour, ground(element.parentElement));
  };
  const behind = (text) => {
    const svg = text.ownerSVGElement, box = text.getBBox();
    const x = box.x + box.width / 2, y = box.y + box.height / 2;
    let colour = ground(svg);
    for (const rect of svg.querySelectorAll("rect")) {
      if (!(rect.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING)) continue;
      const at = rect.getBBox();
      if (x < at.x || x > at.x + at.width || y < at.y || y > at.y + at.height) continue;
      const style = getComputedStyle(rect), fill = parsed(style.fill);
      if (fill) colour = over({ rgb: fill.rgb, a: fill.a * Number(style.fillOpacity) }, colour);
    }
    return colour;
  };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let tried = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || /^(SCRIPT|STYLE|title|desc)$/.test(element.tagName)) continue;
    const style = getComputedStyle(element), inSvg = element instanceof SVGElement;
    const rect = element.getBoundingClientRect();
    if (style.visibility === "hidden" || !rect.width || style.clipPath !== "none") continue;
    const colour = parsed(inSvg ? style.fill : style.color);
    const back = inSvg ? behind(element) : ground(element);
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    const least = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
    const got = ratio(over(colour, back), back);
    tried += 1;
    if (got < least) bad.push(`${walker.currentNode.textContent.trim().slice(0, 40)}: ${got.toFixed(2)}`);
  }
  return { tried, bad };
})()
