// Colours and letters: safe for the colour blind, and never without a letter.

export const CLASSES = {
  breathing: { letter: "B", colour: "#56b4e9" },
  switching: { letter: "S", colour: "#e69f00" },
  collapse: { letter: "C", colour: "#e78ac3" },
  nucleation: { letter: "N", colour: "#3cc79a" },
  nothing: { letter: "0", colour: "#a9b4bf" },
  mixed: { letter: "M", colour: "#f0e442" },
};

export function lookOf(name) {
  return CLASSES[name] ?? { letter: name ? "?" : "·", colour: "#8895a3" };
}

// RdBu reversed, as in the figures of the documentation: blue is −1, white 0, red +1.
const STOPS = [
  [5, 48, 97], [33, 102, 172], [67, 147, 195], [146, 197, 222], [209, 229, 240], [247, 247, 247],
  [253, 219, 199], [244, 165, 130], [214, 96, 77], [178, 24, 43], [103, 0, 31],
];

function shade(level) {
  const place = (Math.min(level, 254) / 254) * (STOPS.length - 1);
  const low = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[low].map((c, k) => Math.round(c + (STOPS[low + 1][k] - c) * (place - low)));
}

// Of each byte of a picture, 0 (S_z −1) to 254 (+1); 255 is a pixel that holds no number.
export const SHADES = new Uint32Array(256).map((_, level) => {
  const [r, g, b] = level === 255 ? [96, 104, 96] : shade(level);
  return (255 << 24) | (b << 16) | (g << 8) | r;
});

// A picture, row 0 at the bottom as in a plot, at its own size.
export function painted(picture, canvas = document.createElement("canvas")) {
  const { rows, columns, image } = picture;
  if (canvas.width !== columns || canvas.height !== rows) {
    canvas.width = columns;
    canvas.height = rows;
  }
  const context = canvas.getContext("2d", { alpha: false });
  const pixels = context.createImageData(columns, rows);
  const words = new Uint32Array(pixels.data.buffer);
  for (let row = 0; row < rows; row++) {
    const from = row * columns, to = (rows - 1 - row) * columns;
    for (let column = 0; column < columns; column++) words[to + column] = SHADES[image[from + column]];
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

// Sharp on any screen: a canvas with as many pixels as it covers, and units of CSS pixels.
export function prepared(canvas) {
  const scale = window.devicePixelRatio || 1;
  const box = canvas.getBoundingClientRect();
  const width = Math.max(1, Math.round(box.width * scale)), height = Math.max(1, Math.round(box.height * scale));
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, box.width, box.height);
  return [context, box.width, box.height];
}
