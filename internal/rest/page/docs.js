"use strict";

const element = (name, properties, ...children) => {
  const e = Object.assign(document.createElement(name), properties);
  e.append(...children);
  return e;
};

// example makes a value of what a body has to have, as far as its schema says.
const example = (api, schema) => {
  if (schema.$ref) schema = api.components.schemas[schema.$ref.split("/").pop()];
  const body = {};
  for (const name of schema.required || []) {
    const property = schema.properties[name];
    body[name] = property.enum ? property.enum[0] : name === "document" ? { kind: "Pipeline", jobs: { a: { image: "busybox", run: "echo hi" } } } : "";
  }
  return body;
};

const operation = (api, method, path, op) => {
  const inputs = (op.parameters || []).map((p) => ({ ...p, field: element("input", { placeholder: p.description || "" }) }));
  const wants = op.requestBody?.content?.["application/json"];
  const body = wants && element("textarea", { spellcheck: false, value: JSON.stringify(example(api, wants.schema), null, 2) });
  const out = element("pre", { hidden: true });
  const send = async () => {
    let url = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const { name, in: place, field } of inputs) {
      if (place === "path") url = url.replace(`{${name}}`, encodeURIComponent(field.value));
      else if (field.value && place === "query") query.append(name, field.value);
      else if (field.value && place === "header") headers[name] = field.value;
    }
    const key = document.getElementById("key").value;
    if (key) headers.Authorization = `Bearer ${key}`;
    if (body) headers["Content-Type"] = "application/json";
    out.hidden = false;
    out.textContent = "…";
    try {
      const answer = await fetch(query.size ? `${url}?${query}` : url, { method: method.toUpperCase(), headers, body: body ? body.value : undefined });
      out.textContent = `${answer.status} ${answer.statusText}\n\n`;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let piece; !(piece = await reader.read()).done; ) out.textContent += piece.value;
    } catch (problem) {
      out.textContent += problem;
    }
  };
  return element("details", {},
    element("summary", {}, element("code", {}, `${method.toUpperCase()} ${path}`), ` ${op.summary || ""}`),
    element("p", {}, op.description || ""),
    ...inputs.map((p) => element("label", {}, element("code", {}, p.name), " ", p.field)),
    ...(body ? [body] : []),
    element("button", { onclick: send }, "Send"), out);
};

(async () => {
  const list = document.getElementById("operations");
  const answer = await fetch("/api/v2/openapi.json");
  const api = await answer.json();
  list.replaceChildren();
  for (const [path, methods] of Object.entries(api.paths).sort())
    for (const [method, op] of Object.entries(methods)) list.append(operation(api, method, path, op));
})();
