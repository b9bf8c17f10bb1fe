// Deep links: what a view shows stands in the address, as #view?key=value&key=value.

const VIEWS = new Map(); // id of a view -> the function that shows what an address asks for

/** Register a view; it is shown now and whenever the address asks for it. */
function follow(id, show) {
  VIEWS.set(id, show);
}

function asked() {
  const [view, query = ""] = location.hash.slice(1).split("?");
  return { view, values: Object.fromEntries(new URLSearchParams(query)) };
}

/** Write the state of a view into the address without a new entry in the history. */
function remember(view, values) {
  const kept = Object.entries(values).filter(([, value]) => value !== "" && value !== null);
  const query = new URLSearchParams(kept).toString();
  history.replaceState(null, "", `#${view}${query ? `?${query}` : ""}`);
}

/** A button that copies the address of what a view shows. */
function linkButton(write) {
  const button = element("button", {
    type: "button", class: "link",
    onclick: async () => {
      write();
      button.textContent = (await copied(location.href)) ? "Link copied" : "See the address bar";
    },
  }, "Copy link");
  return button;
}

/** Show what the address asks for, and scroll there: the page has grown since the browser did. */
function visit() {
  const { view, values } = asked();
  const place = view && document.getElementById(view);
  if (!place) return;
  if (VIEWS.has(view) && location.hash.includes("?")) VIEWS.get(view)(values);
  for (let around = place.closest("details"); around; around = around.parentElement.closest("details")) {
    around.open = true;
  }
  place.scrollIntoView();
}

window.addEventListener("hashchange", visit);
