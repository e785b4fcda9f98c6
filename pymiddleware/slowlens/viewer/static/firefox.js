// Hands a profile to the Firefox Profiler in another window (../README.md).
const ORIGIN = "https://profiler.firefox.com";
const ASK_MS = 100;
const LONGEST_MS = 30_000;

const said = document.getElementById("said");

/** Resolves when the other window is ready. */
function ready(other) {
  return new Promise((resolve, reject) => {
    const begun = Date.now();
    const hear = (event) => {
      if (event.source !== other || event.origin !== ORIGIN || event.data?.name !== "is-ready") return;
      stop();
      resolve();
    };
    const ask = setInterval(() => {
      if (other.closed || Date.now() - begun > LONGEST_MS) {
        stop();
        reject(new Error(other.closed ? "the window was closed" : "the Firefox Profiler does not answer"));
      } else {
        other.postMessage({ name: "is-ready" }, ORIGIN);
      }
    }, ASK_MS);
    const stop = () => {
      clearInterval(ask);
      removeEventListener("message", hear);
    };
    addEventListener("message", hear);
  });
}

async function open() {
  const id = new URLSearchParams(location.search).get("r") || "";
  // Opened at once, while the click still counts as one.
  const other = window.open(`${ORIGIN}/from-post-message/`, "_blank");
  if (!other) throw new Error("the browser did not open a window");
  said.textContent = "Waiting for the Firefox Profiler…";
  const [response] = await Promise.all([fetch(`requests/${encodeURIComponent(id)}/profile?format=gecko`), ready(other)]);
  if (!response.ok) throw new Error((await response.json()).error);
  other.postMessage({ name: "inject-profile", profile: await response.json() }, ORIGIN);
  said.textContent = "Handed over.";
}

document.getElementById("open").addEventListener("click", () => open().catch((error) => {
  said.textContent = `Not opened: ${error.message}.`;
}));
