// Sends a thermogram to this service and shows what comes back. Text from anywhere goes
// into text nodes alone.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const SCORES = {
    removed_energy: "energy the denoiser takes out",
    prediction_change: "change of the margin by the denoiser",
  };
  let facts, file, examined, swept, asked = 0;

  function make(parent, name, text, attributes) {
    const node = document.createElement(name);
    if (text !== undefined && text !== null) node.textContent = text;
    for (const [key, value] of Object.entries(attributes || {})) {
      node.setAttribute(key, value);
    }
    parent.append(node);
    return node;
  }

  function number(value, digits) {
    return (value < 0 ? "−" : "") + Math.abs(value).toPrecision(digits || 3).replace(/e-/, "e−");
  }
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const degrees = (value) =>
    `${value < 0 ? "−" : ""}${Number(Math.abs(value).toPrecision(3))}${facts.unit ? ` ${facts.unit}` : ""}`;
  const mark = (parent, good, text) =>
    make(parent, "span", text, { class: `mark ${good ? "pass" : "warn"}` });

  // ---- talking to the service

  async function ask(path) {
    const address = new URL(path, document.baseURI);
    address.searchParams.set("name", file.name);
    address.searchParams.set("background", byId("background").value);
    const answer = await fetch(address, {
      method: "POST",
      body: file,
      headers: { "Content-Type": "application/octet-stream" },
    });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error || `error ${answer.status}`);
    return body;
  }

  // Runs a request; what comes back of an older file is thrown away.
  async function during(text, button, path, show) {
    const mine = asked;
    byId("problem").hidden = true;
    byId("status").textContent = text;
    if (button) button.disabled = true;
    try {
      const answer = await ask(path);
      if (mine !== asked) return;
      show(answer);
      byId("status").textContent = "";
    } catch (error) {
      if (mine !== asked) return;
      byId("status").textContent = "";
      complain(error instanceof TypeError
        ? "The service does not answer. Is it running?" : error.message);
    } finally {
      if (button) button.disabled = false;
    }
  }

  function complain(text) {
    byId("problem").textContent = text;
    byId("problem").hidden = false;
    byId("problem").scrollIntoView({ block: "nearest" });
  }

  function choose(given) {
    if (!given) return;
    if (given.size > facts.upload_bytes) {
      complain(`${given.name}: a file may have ${facts.upload_bytes / 2 ** 20} MiB.`);
      return;
    }
    file = given;
    asked += 1;
    examined = swept = null;
    for (const id of ["result", "attack", "attacked"]) byId(id).hidden = true;
    byId("certificate").replaceChildren();
    for (const id of ["start", "certify"]) byId(id).disabled = false;
    during(`Looking at ${file.name} …`, null, "api/examine", showExamined);
  }

  // ---- pictures

  function decode(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const levels = new DataView(bytes.buffer);
    const [low, high] = facts.window;
    return Float64Array.from({ length: bytes.length / 2 }, (_, i) =>
      low + (high - low) * levels.getUint16(2 * i, true) / 65535);
  }

  function paint(canvas, values, low, high, ramp) {
    canvas.width = facts.width;
    canvas.height = facts.height;
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(facts.width, facts.height);
    values.forEach((value, i) => {
      const share = Math.min(Math.max((value - low) / (high - low || 1), 0), 1);
      pixels.data.set([...ramp[Math.round(share * 255)], 255], 4 * i);
    });
    context.putImageData(pixels, 0, 0);
    canvas.onpointermove = (event) => {
      const box = canvas.getBoundingClientRect();
      const x = Math.floor((event.clientX - box.left) / box.width * facts.width);
      const y = Math.floor((event.clientY - box.top) / box.height * facts.height);
      const value = values[y * facts.width + x];
      if (value !== undefined) canvas.title = `row ${y + 1}, column ${x + 1}: ${degrees(value)}`;
    };
  }

  function picture(parent, caption, values, low, high, ramp) {
    const figure = make(parent, "figure", null, { class: "picture" });
    const canvas = make(figure, "canvas", null, { role: "img", "aria-label": caption });
    make(figure, "figcaption", caption);
    paint(canvas, values, low, high, ramp);
  }

  function bar(parent, title, low, high, ramp) {
    const box = make(parent, "div", null, { class: "bar" });
    make(box, "span", title);
    const canvas = make(box, "canvas", null, { "aria-hidden": "true" });
    canvas.width = 256;
    canvas.height = 1;
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(256, 1);
    ramp.forEach((colour, i) => pixels.data.set([...colour, 255], 4 * i));
    context.putImageData(pixels, 0, 0);
    const ends = make(box, "span", null, { class: "ends" });
    make(ends, "span", degrees(low));
    make(ends, "span", degrees(high));
  }

  function range(arrays) {
    let low = Infinity, high = -Infinity;
    for (const values of arrays) for (const v of values) {
      if (v < low) low = v;
      if (v > high) high = v;
    }
    return [low, high];
  }

  // ---- what the networks say

  function showExamined(answer) {
    examined = answer;
    byId("notes").replaceChildren();
    make(byId("notes"), "li", `File: ${answer.name}`);
    for (const note of answer.notes) make(byId("notes"), "li", note);
    byId("decisions").replaceChildren();
    byId("scores").replaceChildren();
    for (const arm of answer.arms) {
      const row = make(byId("decisions"), "tr");
      make(row, "th", arm.name, { scope: "row" });
      make(row, "td", arm.class);
      make(row, "td", percent(arm.probability), { class: "number" });
      make(row, "td", arm.calibrated === null ? "—" : percent(arm.calibrated),
        { class: "number" });
      make(row, "td", arm.above_threshold === null ? "—" :
        arm.above_threshold ? `above: ${facts.classes[1]}` : `below: ${facts.classes[0]}`);
      showScores(arm);
    }
    const images = answer.arms.filter((arm) => arm.denoised)
      .map((arm) => [`after the denoiser of ${arm.name}`, decode(arm.denoised)]);
    images.unshift(["before", decode(answer.image)]);
    const [low, high] = range(images.map(([, values]) => values));
    byId("before").replaceChildren();
    for (const [caption, values] of images) {
      picture(byId("before"), caption, values, low, high, facts.ramps.heat);
    }
    byId("before-bars").replaceChildren();
    bar(byId("before-bars"), "temperature", low, high, facts.ramps.heat);
    if (images.length > 1) {
      const removed = images[0][1].map((v, i) => v - images[1][1][i]);
      const most = Math.max(...range([removed]).map(Math.abs)) || 1e-6;
      picture(byId("before"), "taken out", removed, -most, most, facts.ramps.difference);
      bar(byId("before-bars"), "taken out", -most, most, facts.ramps.difference);
    }
    byId("result").hidden = byId("attack").hidden = false;
  }

  function showScores(arm) {
    for (const score of arm.scores) {
      const row = make(byId("scores"), "tr");
      make(row, "th", arm.name, { scope: "row" });
      make(row, "td", SCORES[score.name] || score.name);
      make(row, "td", number(score.value), { class: "number" });
      make(row, "td", number(score.limit), { class: "number" });
      const cell = make(row, "td");
      mark(cell, !score.flagged, score.flagged ? "▲ suspicious" : "✓ usual");
    }
  }

  function showCertificate(answer) {
    const box = byId("certificate");
    box.replaceChildren();
    const line = make(box, "p");
    mark(line, answer.noise_trained && !answer.abstained, answer.abstained ? "▲ abstains" :
      answer.noise_trained ? "✓ certified" : "▲ not meaningful");
    make(line, "span", answer.abstained
      ? `The votes of ${answer.arm} under noise do not tell: nothing is certified.`
      : `The smoothed ${answer.arm} says “${answer.class}” for every image within ` +
        `${degrees(answer.radius)} in L2: one pixel by that much, or every pixel by ` +
        `${degrees(answer.radius_each_pixel)}.`);
    make(box, "p", `Noise of ${degrees(answer.sigma)} at every pixel, votes ` +
      `${answer.votes.join(" : ")}, wrong with probability ${answer.alpha} at most. It ` +
      "holds for the vote under noise, not for the decision above, and does not say that the answer is right.",
      { class: "small" });
    if (!answer.noise_trained) {
      make(box, "p", "This network was not trained on noise. Its votes say little, and it " +
        "often abstains or certifies a wrong class: do not quote this radius. " +
        "configs/certified.py trains networks that can be certified.", { class: "missing" });
    }
  }

  // ---- the attack

  function showAttack(answer) {
    swept = {
      epsilon: [0, ...answer.epsilon],
      clean: decode(answer.clean),
      arms: answer.arms.map((arm, i) => {
        const clean = examined.arms[i];
        return {
          name: arm.name,
          class: arm.class,
          images: [answer.clean, ...arm.images].map(decode),
          steps: [{ ...clean, margin: sureness(clean, arm.class) }, ...arm.steps],
        };
      }),
    };
    if (answer.transfer) {
      swept.transfer = [swept.arms[0].steps[0], ...answer.transfer];
    }
    byId("epsilon").max = answer.epsilon.length;
    byId("attacked").hidden = false;
    showNumbers();
    slide();
  }

  // Of two classes: the score of the second one, or its negative.
  const sureness = (told, decided) =>
    decided === facts.classes[1] ? told.score : -told.score;

  function curves() {
    const all = swept.arms.map((arm) => [`${arm.name}, attacked itself`, arm.steps]);
    if (swept.transfer) {
      all.push([`${swept.arms[0].name}, by images made for ${swept.arms[1].name}`, swept.transfer]);
    }
    return all;
  }

  function slide() {
    const at = Number(byId("epsilon").value);
    const text = `${degrees(swept.epsilon[at])}`;
    byId("epsilon-value").textContent = text;
    byId("epsilon").setAttribute("aria-valuetext", text);
    const times = Number(byId("times").value);
    const images = swept.arms.flatMap((arm) => [arm.images[at]]);
    const [low, high] = range([swept.clean, ...images]);
    const span = (high - low) / (2 * times);
    byId("rows").replaceChildren();
    for (const arm of swept.arms) showRow(arm, at, low, high, span, times);
    byId("attack-bars").replaceChildren();
    bar(byId("attack-bars"), "temperature", low, high, facts.ramps.heat);
    bar(byId("attack-bars"), `perturbation, colours × ${times}`, -span, span,
      facts.ramps.difference);
    draw(at);
  }

  function showRow(arm, at, low, high, span, times) {
    const step = arm.steps[at];
    const box = make(byId("rows"), "div", null, { class: "row" });
    const title = make(box, "h3", `${arm.name}: `);
    mark(title, step.class === arm.class,
      step.class === arm.class ? `✓ still ${step.class}` : `▲ now ${step.class}`);
    const flagged = step.scores.filter((score) => score.flagged);
    make(title, "small", flagged.length
      ? `suspicious by: ${flagged.map((score) => SCORES[score.name]).join("; ")}`
      : "no score finds it suspicious");
    const row = make(box, "div", null, { class: "pictures-row" });
    picture(row, `attacked: ${facts.classes[1]} ${percent(step.probability)}`,
      arm.images[at], low, high, facts.ramps.heat);
    const change = arm.images[at].map((v, i) => v - swept.clean[i]);
    picture(row, `perturbation, times ${times}`, change, -span, span, facts.ramps.difference);
    const shown = swept.clean.map((v, i) => v + times * change[i]);
    picture(row, `image with it times ${times}`, shown, low, high, facts.ramps.heat);
    if (step.denoised) {
      picture(row, "attacked, after the denoiser", decode(step.denoised), low, high,
        facts.ramps.heat);
    }
  }

  function showNumbers() {
    const head = byId("numbers-head"), body = byId("numbers");
    head.replaceChildren();
    body.replaceChildren();
    const titles = make(head, "tr");
    make(titles, "th", "epsilon", { scope: "col", class: "number" });
    const all = curves();
    for (const [name] of all) {
      make(titles, "th", `${name}: margin`, { scope: "col", class: "number" });
      make(titles, "th", "decision", { scope: "col" });
    }
    swept.epsilon.forEach((epsilon, i) => {
      const row = make(body, "tr");
      make(row, "td", degrees(epsilon), { class: "number" });
      for (const [, steps] of all) {
        make(row, "td", number(steps[i].margin), { class: "number" });
        make(row, "td", steps[i].class);
      }
    });
  }

  // ---- the chart

  function node(parent, name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  function ticks(low, high) {
    const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((f) => f * power >= rough) * power;
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high + 1e-9; i += 1) found.push(i * step);
    return found;
  }

  const SHAPES = [
    (x, y) => ["circle", { cx: x, cy: y, r: 4 }],
    (x, y) => ["rect", { x: x - 4, y: y - 4, width: 8, height: 8 }],
    (x, y) => ["path", { d: `M${x} ${y - 5}l5 9h-10z` }],
  ];

  function draw(at) {
    const narrow = byId("chart").clientWidth < 480;
    const all = curves(), kind = byId("quantity").value;
    const width = narrow ? 380 : 700, height = 290 + 20 * all.length;
    const [left, right, top, bottom] = [52, width - 12, 12, 250];
    const values = all.map(([, steps]) => steps.map((step) => step[kind]));
    let [low, high] = kind === "margin" ? range([...values, [0]]) : [0, 1];
    if (kind === "margin") {
      const room = 0.06 * (high - low || 1);
      [low, high] = [low - room, high + room];
    }
    const last = swept.epsilon[swept.epsilon.length - 1];
    const x = (epsilon) => left + (right - left) * epsilon / last;
    const y = (value) => bottom - (bottom - top) * (value - low) / (high - low);
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", "Attack against epsilon; the table below has the numbers");
    for (const tick of ticks(low, high)) {
      node(svg, "line", { x1: left, x2: right, y1: y(tick), y2: y(tick), class: "grid" });
      node(svg, "text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" },
        String(Number(tick.toPrecision(6))).replace("-", "−"));
    }
    for (const tick of ticks(0, last)) {
      node(svg, "line", { x1: x(tick), x2: x(tick), y1: top, y2: bottom, class: "grid" });
      node(svg, "text", { x: x(tick), y: bottom + 18, "text-anchor": "middle" },
        String(Number(tick.toPrecision(6))));
    }
    node(svg, "text", { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" },
      facts.unit ? `epsilon, ${facts.unit}` : "epsilon");
    node(svg, "line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "axis" });
    const border = kind === "margin" ? 0 : 0.5;
    node(svg, "line", { x1: left, x2: right, y1: y(border), y2: y(border), class: "zero" });
    const now = x(swept.epsilon[at]);
    node(svg, "line", { x1: now, x2: now, y1: top, y2: bottom, class: "now" });
    all.forEach(([name], i) => {
      const points = values[i].map((value, k) => [x(swept.epsilon[k]), y(value)]);
      node(svg, "polyline", { points: points.map((p) => p.join(",")).join(" "), class: `kind${i}` });
      const below = bottom + 56 + 20 * i;
      node(svg, "line", { x1: left, x2: left + 34, y1: below - 4, y2: below - 4, class: `kind${i}` });
      for (const [px, py] of [...points, [left + 17, below - 4]]) {
        const [shape, attributes] = SHAPES[i](px, py);
        node(svg, shape, { ...attributes, class: `mark${i}` });
      }
      node(svg, "text", { x: left + 42, y: below }, name);
    });
    byId("chart").replaceChildren(svg);
    byId("chart-caption").textContent = kind === "margin"
      ? "Below the dotted line the decision has flipped. Dashed: the epsilon above."
      : `Dotted: one half. Dashed: the epsilon above. Probability of ${facts.classes[1]} by softmax, not calibrated.`;
  }

  // ---- wiring

  function wire() {
    const drop = byId("drop"), input = byId("file");
    input.addEventListener("change", () => choose(input.files[0]));
    for (const kind of ["dragover", "dragenter"]) {
      document.addEventListener(kind, (event) => {
        event.preventDefault();
        drop.classList.add("over");
      });
    }
    document.addEventListener("dragleave", () => drop.classList.remove("over"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      choose(event.dataTransfer.files[0]);
    });
    byId("form").addEventListener("submit", (event) => event.preventDefault());
    byId("background").addEventListener("change", () => choose(file));
    byId("certify").addEventListener("click", () =>
      during("Counting votes under noise …", byId("certify"), "api/certify", showCertificate));
    byId("start").addEventListener("click", () =>
      during("Attacking at every epsilon …", byId("start"), "api/attack", showAttack));
    byId("epsilon").addEventListener("input", slide);
    for (const id of ["times", "quantity"]) byId(id).addEventListener("change", slide);
    window.addEventListener("resize", () => swept && draw(Number(byId("epsilon").value)));
    facts.examples.forEach((name, i) => {
      const button = make(byId("examples"), "button", name, { type: "button" });
      byId("examples").append(" ");
      button.addEventListener("click", async () => {
        const text = await (await fetch(`api/examples/${i}.csv`)).text();
        choose(new File([text], `simulated_${name}.csv`));
      });
    });
    byId("examples").hidden = !facts.examples.length;
  }

  (async () => {
    facts = await (await fetch("api/run")).json();
    wire();
    document.documentElement.dataset.ready = "true";
  })();
})();
