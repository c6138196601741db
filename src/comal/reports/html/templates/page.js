"use strict";
// Makes a page that is whole without it handier: remembers the colours, shows values under the pointer, searches, copies.
// Text of the page only ever becomes text again (textContent, value); nothing is parsed as markup.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const root = document.documentElement;
  root.classList.add("scripted");

  rememberColours();
  for (const data of document.querySelectorAll("script[data-figure]")) {
    const svg = document.getElementById(data.dataset.figure);
    if (svg) showValues(svg, JSON.parse(data.textContent));
  }
  for (const box of document.querySelectorAll("[data-search]")) searchIn(box);
  for (const button of document.querySelectorAll("[data-copy]")) copyFrom(button);
  openForPrinting();

  function rememberColours() {
    const radios = [...document.querySelectorAll("input[name=theme]")];
    try {
      const known = radios.find((radio) => radio.id === localStorage.getItem("comal-theme"));
      if (known) known.checked = true;
    } catch { /* storage is switched off: the choice lasts as long as the page */ }
    for (const radio of radios) {
      radio.addEventListener("change", () => {
        try { localStorage.setItem("comal-theme", radio.id); } catch { /* as above */ }
      });
    }
  }

  // Curves: the nearest step under the pointer, or by arrow keys, with the value of every visible curve there.
  function showValues(svg, lines) {
    const figure = svg.closest("figure");
    const groups = [...svg.querySelectorAll("g")];
    const box = document.createElement("div");
    box.className = "pointer";
    box.hidden = true;
    box.setAttribute("role", "status");
    figure.append(box);
    const rules = svg.querySelectorAll(".grid");
    const guide = document.createElementNS(SVG, "line");
    guide.setAttribute("class", "guide");
    guide.setAttribute("visibility", "hidden");
    if (rules.length) rules[rules.length - 1].after(guide);
    const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    const visible = () => lines.filter((line, i) => groups[i] && getComputedStyle(groups[i]).display !== "none");
    const places = () => [...new Set(visible().flatMap((line) => line.points.map((point) => point[0])))].sort((a, b) => a - b);
    let at = null;

    function show(x) {
      at = x;
      const rows = visible().flatMap((line) => line.points.filter((p) => p[0] === x).map((point) => ({ line, point })));
      if (!rows.length) return hide();
      rows.sort((a, b) => a.point[1] - b.point[1]);
      box.replaceChildren(paragraph([`step ${rows[0].point[2]}`]));
      for (const { line, point } of rows) {
        const dot = document.createElement("i");
        dot.className = `swatch b${Number(line.colour)}`;
        box.append(paragraph([dot, `${line.name} ${point[3]}`]));
      }
      guide.setAttribute("x1", x);
      guide.setAttribute("x2", x);
      guide.setAttribute("y1", 8);
      guide.setAttribute("y2", height - 36);
      guide.setAttribute("visibility", "visible");
      box.hidden = false;
      const scale = svg.clientWidth / width || svg.getBoundingClientRect().width / width;
      const room = figure.clientWidth - box.offsetWidth;
      const right = x * scale + 14;
      const left = right > room ? x * scale - 14 - box.offsetWidth : right;
      box.style.left = `${Math.max(0, Math.min(room, left))}px`;
      const above = svg.getBoundingClientRect().top - figure.getBoundingClientRect().top;
      box.style.top = `${above + 8}px`;
    }
    function hide() {
      at = null;
      box.hidden = true;
      guide.setAttribute("visibility", "hidden");
    }
    svg.addEventListener("pointermove", (event) => {
      const frame = svg.getBoundingClientRect();
      const x = ((event.clientX - frame.left) / frame.width) * width;
      const near = places();
      if (near.length) show(near.reduce((best, place) => (Math.abs(place - x) < Math.abs(best - x) ? place : best)));
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.setAttribute("tabindex", "0");
    svg.addEventListener("keydown", (event) => {
      const near = places();
      const now = near.indexOf(at);
      const next = { ArrowRight: now + 1, ArrowLeft: now < 0 ? near.length - 1 : now - 1, Home: 0, End: near.length - 1 }[event.key];
      if (event.key === "Escape") hide();
      if (next === undefined || !near.length) return;
      event.preventDefault();
      show(near[Math.max(0, Math.min(near.length - 1, next))]);
    });
  }

  function paragraph(parts) {
    const made = document.createElement("p");
    made.append(...parts);
    return made;
  }

  function searchIn(box) {
    const input = box.querySelector("input");
    const count = box.querySelector("output");
    const section = box.closest("section");
    const items = [...section.querySelectorAll(".example")];
    const texts = items.map((item) => item.textContent.toLowerCase());
    const folded = [...section.querySelectorAll("details")];
    const open = folded.map((details) => details.open);
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      let found = 0;
      items.forEach((item, i) => {
        item.hidden = !texts[i].includes(wanted);
        found += !item.hidden;
      });
      folded.forEach((details, i) => { details.open = wanted ? true : open[i]; });
      count.textContent = wanted ? `${found} of ${items.length} prompts` : "";
      highlight(wanted, items.filter((item) => !item.hidden));
    });
  }

  // Marks what was found without touching the text.
  function highlight(wanted, items) {
    if (!CSS.highlights) return;
    CSS.highlights.delete("found");
    if (!wanted) return;
    const ranges = [];
    for (const item of items) {
      const walker = document.createTreeWalker(item, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const text = node.data.toLowerCase();
        if (text.length !== node.data.length) continue; // a letter whose small form is longer would shift the places
        for (let i = text.indexOf(wanted); i >= 0; i = text.indexOf(wanted, i + wanted.length)) {
          const range = new Range();
          range.setStart(node, i);
          range.setEnd(node, i + wanted.length);
          ranges.push(range);
        }
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }

  function copyFrom(button) {
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      const before = button.textContent;
      try {
        await navigator.clipboard.writeText(source.textContent.trim() + "\n");
        button.textContent = "copied";
      } catch {
        getSelection().selectAllChildren(source);
        button.textContent = "selected; press Ctrl+C";
      }
      setTimeout(() => { button.textContent = before; }, 2000);
    });
  }

  function openForPrinting() {
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = [...document.querySelectorAll("details:not([open])")];
      for (const details of opened) details.open = true;
    });
    addEventListener("afterprint", () => {
      for (const details of opened) details.open = false;
    });
  }
})();
