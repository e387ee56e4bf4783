// Pictures as the server packs them: see film.py, Picture.packed.

const HEADER = 36;

// All pictures in a buffer, one after the other.
export function unpack(buffer) {
  const view = new DataView(buffer), pictures = [];
  let at = 0;
  while (at + HEADER <= buffer.byteLength) {
    const magic = view.getUint32(at, false);
    if (magic !== 0x534b5931) throw new Error("no picture: the page is older than the server");
    const rows = view.getUint16(at + 4, true), columns = view.getUint16(at + 6, true);
    const step = view.getUint16(at + 8, true), named = view.getUint16(at + 10, true);
    const body = at + HEADER + named, end = body + rows * columns;
    pictures.push({
      rows, columns, step,
      index: view.getUint32(at + 12, true),
      expected: view.getUint32(at + 16, true),
      time_ps: view.getFloat64(at + 20, true),
      age_s: view.getFloat64(at + 28, true),
      shot: new TextDecoder().decode(new Uint8Array(buffer, at + HEADER, named)),
      image: new Uint8Array(buffer, body, rows * columns),
    });
    at = end;
  }
  return pictures;
}

export async function fetchMovie(shot, frames, side) {
  const answer = await fetch(`/film/${encodeURIComponent(shot)}?frames=${frames}&side=${side}`);
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return unpack(await answer.arrayBuffer());
}
