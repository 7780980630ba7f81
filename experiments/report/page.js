// Draws the figures, and makes tables sortable and filterable.
"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const config = {
    displaylogo: false,
    displayModeBar: window.matchMedia("(hover: hover)").matches ? "hover" : false,
    responsive: false,
    modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
  };
  const PRINT_WIDTH = 660;

  // The legend stands below: as many rows as its entries need at this width.
  function layoutFor(chart, width) {
    const names = chart.data.filter((t) => t.showlegend !== false).map((t) => t.name);
    const longest = Math.max(...names.map((name) => name.length), 1);
    const perRow = Math.max(1, Math.floor((width - 20) / (longest * 6.7 + 50)));
    const legend = 20 * Math.ceil(names.length / perRow) + 8;
    const layout = structuredClone(chart.layout);
    layout.width = width;
    layout.height += legend;
    layout.margin.b += legend;
    return layout;
  }

  function draw(width) {
    for (const place of document.querySelectorAll(".chart")) {
      const chart = charts[place.dataset.chart];
      const layout = layoutFor(chart, width || place.clientWidth);
      Plotly.react(place, structuredClone(chart.data), layout, config);
    }
  }

  let drawnAt = 0;
  function drawIfResized() {
    // A phone's height changes as its address bar hides; only the width matters.
    if (document.body.clientWidth === drawnAt) return;
    drawnAt = document.body.clientWidth;
    draw();
  }

  function keyOf(cell) {
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.innerText.trim();
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return a.localeCompare(b, undefined, { numeric: true });
  }

  function sortable(table) {
    const headers = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    headers.forEach((header, column) => {
      header.querySelector("button").addEventListener("click", () => {
        const down = header.getAttribute("aria-sort") === "ascending";
        headers.forEach((other) => other.setAttribute("aria-sort", "none"));
        header.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].sort((a, b) =>
          compare(keyOf(a.cells[column]), keyOf(b.cells[column])));
        body.append(...(down ? rows.reverse() : rows));
      });
    });
  }

  function filterable(box) {
    const form = box.querySelector("form");
    if (!form) return;
    const selects = [...form.querySelectorAll("select")];
    const rows = [...box.querySelector("tbody").rows];
    const apply = () => {
      for (const row of rows) {
        row.hidden = !selects.every((select) => select.value === "" ||
          row.cells[select.dataset.column].querySelector(".text").textContent === select.value);
      }
      const shown = rows.filter((row) => !row.hidden).length;
      form.querySelector("output").textContent = `${shown} of ${rows.length} rows`;
    };
    form.addEventListener("change", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.reset();
    apply();
  }

  draw();
  drawnAt = document.body.clientWidth;
  window.addEventListener("resize", drawIfResized);
  window.addEventListener("beforeprint", () => draw(PRINT_WIDTH));
  window.addEventListener("afterprint", () => draw());
  for (const box of document.querySelectorAll(".table")) {
    sortable(box.querySelector("table"));
    filterable(box);
  }
  document.documentElement.dataset.ready = "true";
})();
