// For HTML pages of yours, put in by you: docs/howto/reading.md. Whoever may not look sees nothing.
(() => {
  const base = new URL("..", document.currentScript.src);
  const begun = performance.timeOrigin;
  const SLACK_MS = 5000; // between the click and the server
  const TRIES = [300, 700, 1500, 3000]; // ms; a profile is stored after its response

  const text = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms >= 100 ? ms.toFixed(0) : ms.toFixed(1)} ms`);

  function show(row) {
    const host = document.createElement("slowlens-badge");
    const root = host.attachShadow({ mode: "open" });
    const style = new CSSStyleSheet();
    style.replaceSync(`
      div { position: fixed; right: 12px; bottom: 12px; z-index: 2147483647; display: flex; font: 12px/1.4 system-ui, sans-serif;
            background: #1c1917; color: #f5f5f4; border-radius: 4px; box-shadow: 0 2px 8px rgb(0 0 0 / 40%); }
      a { color: inherit; text-decoration: none; padding: 4px 10px; } a:hover, a:focus-visible { text-decoration: underline; }
      .slow { color: #fdba74; font-weight: 600; }
      button { font: inherit; background: none; border: 0; color: inherit; padding: 4px 8px; cursor: pointer; }
      @media print { div { display: none; } }`);
    root.adoptedStyleSheets = [style];
    const box = document.createElement("div");
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", "slowlens");
    const link = document.createElement("a");
    link.href = `${base}#r=${encodeURIComponent(row.id)}`;
    link.target = "_blank";
    link.rel = "noopener";
    const { db_count: queries } = row;
    link.textContent = `${text(row.wall_ms)}${queries ? ` · ${queries} ${queries === 1 ? "query" : "queries"}` : ""}`;
    link.title = row.hot || "Open this request's profile";
    if (row.wall_ms >= 200) link.className = "slow";
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = "✕";
    close.setAttribute("aria-label", "Hide");
    close.addEventListener("click", () => host.remove());
    box.append(link, close);
    root.append(box);
    document.body.append(host);
  }

  async function look(left) {
    const path = location.pathname.replace(/(%[\da-f]{2})+/gi, (bytes) => {
      try { return decodeURIComponent(bytes); } catch { return bytes; }
    });
    const query = new URLSearchParams({ q: path, sort: "-started", limit: "20" });
    const sent = Date.now();
    const response = await fetch(new URL(`api/requests?${query}`, base), { credentials: "same-origin" });
    if (!response.ok) return;
    const { requests, now } = await response.json();
    const late = (Date.now() - sent) / 2;
    const apart = now - sent - late; // the server's clock and this one
    const from = Math.abs(apart) > late + 5 ? begun + apart : begun;
    // The first since then; at last, one shortly before.
    const far = ({ started }) => Math.abs(started - from);
    const found = requests.filter((one) => one.path === path && one.started > from - (left.length ? 20 : SLACK_MS)).sort((a, b) => far(a) - far(b))[0];
    if (found) show(found);
    else if (left.length) setTimeout(() => look(left.slice(1)).catch(() => {}), left[0]);
  }

  addEventListener("load", () => setTimeout(() => look(TRIES.slice(1)).catch(() => {}), TRIES[0]));
})();
