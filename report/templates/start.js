// Start what the page offers beyond its text; without this script the text and figures stand alone.

async function start() {
  equipTables();
  const parts = [["playground", startPlayground], ["explore", startExplore]];
  for (const [id, begin] of parts) {
    if (typeof DecompressionStream === "undefined") continue; // a browser from before 2023
    const data = await unpacked(`${id}-data`);
    if (!data) continue;
    for (const hidden of document.querySelectorAll(`[data-part="${id}"]`)) hidden.hidden = false;
    await begin(id, data);
  }
  visit();
  document.documentElement.dataset.ready = String(Math.round(performance.now())); // milliseconds
}

start();
