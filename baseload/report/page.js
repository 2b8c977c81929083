"use strict";
(() => {
  const PRINT_WIDTH = 680; // px: an A4 page between its margins
  const pad = (n) => String(n).padStart(2, "0");
  const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
  const utc = (ms) => {
    const t = new Date(ms);
    const day = `${DAYS[t.getUTCDay()]} ${t.getUTCFullYear()}-${pad(t.getUTCMonth() + 1)}-${pad(t.getUTCDate())}`;
    return `${day} ${pad(t.getUTCHours())}:${pad(t.getUTCMinutes())}:${pad(t.getUTCSeconds())} UTC`;
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // Text and grid follow the page's colours, so that light, dark and paper each look as they should.
  const template = () => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      gridcolor: colour("--line"), linecolor: colour("--faint"), zerolinecolor: colour("--line"),
      tickcolor: colour("--faint"), ticks: "outside", ticklen: 4, showline: true, zeroline: false,
      title: { font: { size: 12, color: colour("--soft") }, standoff: 8 }, tickfont: { size: 11 },
    };
    return {
      layout: {
        font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--ink") },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", xaxis: { ...axis, showgrid: false },
        yaxis: axis, colorway: ["#2f6db3"], hoverlabel: {
          bgcolor: colour("--paper"), bordercolor: colour("--faint"), font: { color: colour("--ink"), size: 12 },
        },
      },
    };
  };
  const heatColours = () => dark.matches && !printing
    ? [[0, "#1c2a3a"], [0.35, "#28587f"], [0.7, "#4d9fd6"], [1, "#d9f0ff"]]
    : [[0, "#edf3f8"], [0.35, "#a9cbe6"], [0.7, "#3f86bf"], [1, "#0b2f57"]];

  // What can be worked out here need not be carried in the page: absolute times, and the words of a share.
  const complete = (trace) => {
    const { meta } = trace;
    if (!meta || meta.start_ms === undefined) return trace;
    const moment = (x) => utc(meta.start_ms + x * meta.unit_ms);
    if (!meta.log_shares) return { ...trace, customdata: trace.x.map(moment) };
    const middles = trace.x.slice(1).map((right, i) => moment((trace.x[i] + right) / 2));
    const words = (z) => (z === null ? "" : `${Number((10 ** z * 100).toPrecision(2))} %`);
    return {
      ...trace, customdata: trace.z.map(() => middles), text: trace.z.map((row) => row.map(words)),
      texttemplate: "", colorscale: heatColours(),
    };
  };

  let printing = false;
  const plots = [];
  for (const source of document.querySelectorAll("script[data-for]")) {
    const figure = JSON.parse(source.textContent);
    const plot = document.getElementById(source.dataset.for);
    const heats = figure.data.flatMap((trace, i) => (trace.meta && trace.meta.log_shares ? [i] : []));
    plots.push({ plot, heats });
    Plotly.newPlot(plot, figure.data.map(complete), { ...figure.layout, template: template() }, {
      responsive: true, displayModeBar: false,
    });
  }
  const restyle = (extra) => {
    for (const { plot, heats } of plots) {
      Plotly.relayout(plot, { template: template(), ...extra });
      if (heats.length) Plotly.restyle(plot, { colorscale: [heatColours()] }, heats);
    }
  };
  dark.addEventListener("change", () => restyle({}));
  addEventListener("beforeprint", () => { printing = true; restyle({ width: PRINT_WIDTH, autosize: false }); });
  addEventListener("afterprint", () => { printing = false; restyle({ width: null, autosize: true }); });
  document.documentElement.dataset.figures = String(plots.length);
})();
