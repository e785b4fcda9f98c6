// api.js - the server's JSON. URLs are relative: the page may be mounted anywhere.

async function ask(path, options) {
  const response = await fetch(path, { credentials: "same-origin", ...options });
  let body = null;
  try {
    body = await response.json();
  } catch {
    throw new Error(response.status === 404 ? "not found, or you may not look any more" : `the server answered ${response.status}`);
  }
  if (!response.ok) throw new Error(body.error || `the server answered ${response.status}`);
  return body;
}

const query = (values) => {
  const text = String(new URLSearchParams(values));
  return text ? `?${text}` : "";
};

export const requests = (values) => ask(`api/requests${query(values)}`);
export const routes = () => ask("api/routes");
export const status = () => ask("api/status");
export const summary = (id) => ask(`api/requests/${id}`);
export const tree = (id, values) => ask(`api/requests/${id}/tree${query(values)}`);
export const functions = (id, limit = 300) => ask(`api/requests/${id}/functions?limit=${limit}`);
export const remove = (id) => ask(`api/delete?id=${id}`, { method: "POST", headers: { "X-Slowlens-Viewer": "1" } });
export const download = (id, format) => `requests/${id}/profile?format=${format}`;
