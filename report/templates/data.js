// The page's data: JSON and bytes that were compressed and written as base64 into the page.

/** The bytes of a compressed, base64-coded text. */
async function unpackedBytes(text) {
  const raw = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The JSON in the data block of this id; null where the page has no such block. */
async function unpacked(id) {
  const block = document.getElementById(id);
  if (!block) return null;
  return JSON.parse(new TextDecoder().decode(await unpackedBytes(block.textContent.trim())));
}
