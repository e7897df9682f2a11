// Builds the files that the app serves: dist/widget.js for any page, dist/markdown.js and dist/preview.js for the staff's pages.
import { build } from "esbuild";

/** Lengths in rem as a share of --needlepoint-rem; conditions of media and container queries cannot use it and need not. */
const inReadersSize = (css) =>
  css.replace(/@(?:media|container)[^{]*|(-?\d*\.?\d+)rem\b/g, (found, size) =>
    size === undefined ? found : `calc(${size}*var(--needlepoint-rem))`,
  );

const common = {
  bundle: true,
  minify: true,
  target: ["es2022"],
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  plugins: [
    {
      name: "css-as-text",
      setup({ onLoad }) {
        onLoad({ filter: /\.css$/ }, async ({ path }) => {
          const { outputFiles } = await build({
            entryPoints: [path],
            minify: true,
            write: false,
            target: ["es2022", "chrome117", "firefox117", "safari17"],
            logLevel: "warning",
          });
          return { contents: inReadersSize(outputFiles[0].text.trim()), loader: "text" };
        });
      },
    },
  ],
};

await build({ ...common, entryPoints: ["src/widget.ts"], format: "iife", outfile: "dist/widget.js" });
await build({ ...common, entryPoints: ["src/markdown.ts"], format: "esm", outfile: "dist/markdown.js" });
await build({ ...common, entryPoints: ["src/preview.ts"], format: "esm", outfile: "dist/preview.js" });
