// Reads what phasediag/report/embedded.py wrote: { head, arrays }.
const TYPES = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float64: Float64Array };

async function unpacked(text) {
  const packed = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const content = await new Response(stream).arrayBuffer();
  const length = new DataView(content).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(content, 4, length)));
  const arrays = {};
  for (const [name, [type, offset, count]] of Object.entries(head.arrays))
    arrays[name] = new TYPES[type](content, 4 + length + offset, count);
  return { head, arrays };
}
