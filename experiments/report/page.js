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

  // The legend stands below the axes. How high it is, is known once it is drawn.
  function drawChart(place, width) {
    const chart = charts[place.dataset.chart];
    const layoutWith = (legend) => {
      const layout = structuredClone(chart.layout);
      layout.margin.b += legend;
      return Object.assign(layout, { width, height: layout.height + legend });
    };
    const names = chart.data.filter((trace) => trace.showlegend !== false);
    const most = 22 * names.length + 12;
    Plotly.react(place, structuredClone(chart.data), layoutWith(most), config);
    const legend = place.querySelector(".legend");
    const needed = legend ? Math.ceil(legend.getBBox().height) + 4 : 0;
    if (needed < most) Plotly.react(place, place.data, layoutWith(needed), config);
  }

  function draw(width) {
    for (const place of document.querySelectorAll(".chart")) {
      drawChart(place, width || place.clientWidth);
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
      const sort = () => {
        const down = header.getAttribute("aria-sort") === "ascending";
        headers.forEach((other) => other.setAttribute("aria-sort", "none"));
        header.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].sort((a, b) =>
          compare(keyOf(a.cells[column]), keyOf(b.cells[column])));
        body.append(...(down ? rows.reverse() : rows));
      };
      header.addEventListener("click", sort);
      header.addEventListener("keydown", (event) => {
        if (event.key === "Enter") sort();
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
