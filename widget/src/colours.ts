/** The clinic's colour made readable: contrast as WCAG 2.2 defines it (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio). */

type Rgb = [red: number, green: number, blue: number];

const ENOUGH = 4.5;
const BLACK: Rgb = [0, 0, 0];
const WHITE: Rgb = [255, 255, 255];

const luminance = (colour: Rgb) => {
  const [red, green, blue] = colour.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};

/** From 1 (the same) to 21 (black on white). */
function contrast(one: Rgb, other: Rgb): number {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

const mixed = (one: Rgb, other: Rgb, share: number) =>
  one.map((value, index) => Math.round(value * (1 - share) + (other[index] ?? 0) * share)) as Rgb;

const css = (colour: Rgb) => `rgb(${colour.join(" ")})`;

/** A colour as a canvas paints it, whatever notation it is in; null where it is none, or can be seen through. */
function read(colour: string): Rgb | null {
  if (!CSS.supports("color", colour)) return null;
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return null;
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [red = 0, green = 0, blue = 0, opacity] = context.getImageData(0, 0, 1, 1).data;
  return opacity === 255 ? [red, green, blue] : null;
}

/**
 * The shades of a brand colour that the widget uses, as CSS values, or null where it is no colour. `on-brand` is read on
 * `brand`; `brand-ink` on white and on `brand-pale`.
 */
export function shades(colour: string): Record<"brand" | "on-brand" | "brand-ink" | "brand-pale", string> | null {
  const brand = read(colour);
  if (!brand) return null;
  const pale = mixed(brand, WHITE, 0.88);
  let ink = brand;
  for (let share = 0.05; contrast(ink, pale) < ENOUGH && share <= 1; share += 0.05) ink = mixed(brand, BLACK, share);
  return {
    brand: css(brand),
    // Of black and white one always has a contrast of 4.58 or more.
    "on-brand": css(contrast(brand, WHITE) >= ENOUGH ? WHITE : BLACK),
    "brand-ink": css(ink),
    "brand-pale": css(pale),
  };
}
