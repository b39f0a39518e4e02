import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  gunzipSync,
  gzipSync,
} from 'node:zlib';
import type { Plugin } from 'vite';

/** Below this a compressed file saves less than its headers cost. */
const MIN_BYTES = 1024;

const CODINGS = [
  { suffix: '.br', compress: brotli, decompress: brotliDecompressSync },
  { suffix: '.gz', compress: gzip, decompress: gunzipSync },
] as const;

/**
 * Writes `name.br` and `name.gz` beside each text file of the build, where that makes it smaller;
 * the server sends them as they are.
 *
 * Compressed bytes differ between versions of zlib and between processors: those of the build
 * before are kept where they still say the same, so that the build differs only where its sources
 * do.
 */
export function precompress(): Plugin {
  let outDir = '';
  const before = new Map<string, Buffer>();
  return {
    name: 'precompress',
    apply: 'build',
    configResolved(config) {
      outDir = join(config.root, config.build.outDir);
    },
    buildStart() {
      for (const file of filesIn(outDir)) {
        if (/\.(br|gz)$/.test(file)) before.set(file, readFileSync(join(outDir, file)));
      }
    },
    closeBundle() {
      for (const file of filesIn(outDir)) {
        if (!/\.(html|js|css|svg)$/.test(file)) continue;
        const content = readFileSync(join(outDir, file));
        if (content.length < MIN_BYTES) continue;
        for (const { suffix, compress, decompress } of CODINGS) {
          const known = before.get(file + suffix);
          const compressed = known && decompress(known).equals(content) ? known : compress(content);
          if (compressed.length < content.length) {
            writeFileSync(join(outDir, file + suffix), compressed);
          }
        }
      }
    },
  };
}

function filesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [];
}

function brotli(content: Buffer): Buffer {
  return brotliCompressSync(content, {
    params: {
      [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
    },
  });
}

function gzip(content: Buffer): Buffer {
  const compressed = gzipSync(content, { level: constants.Z_BEST_COMPRESSION });
  // The header's tenth byte names the operating system: unknown.
  compressed[9] = 0xff;
  return compressed;
}
