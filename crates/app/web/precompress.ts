import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';

/** Below this a compressed file saves less than its headers cost. */
const MIN_BYTES = 1024;

/**
 * Writes `name.br` and `name.gz` beside each text file of the build, where that makes it smaller;
 * the server sends them as they are.
 */
export function precompress(): Plugin {
  let outDir = '';
  return {
    name: 'precompress',
    apply: 'build',
    configResolved(config) {
      outDir = join(config.root, config.build.outDir);
    },
    closeBundle() {
      for (const file of readdirSync(outDir, { recursive: true, encoding: 'utf8' })) {
        if (/\.(html|js|css|svg)$/.test(file)) compress(join(outDir, file));
      }
    },
  };
}

function compress(path: string): void {
  const content = readFileSync(path);
  if (content.length < MIN_BYTES) return;
  const brotli = brotliCompressSync(content, {
    params: {
      [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
    },
  });
  const gzip = gzipSync(content, { level: constants.Z_BEST_COMPRESSION });
  // The header's tenth byte names the system that compressed; the build is the same on all.
  gzip[9] = 0xff;
  for (const [suffix, compressed] of [['.br', brotli], ['.gz', gzip]] as const) {
    if (compressed.length < content.length) writeFileSync(path + suffix, compressed);
  }
}
