import { defineConfig } from 'vite';

import { precompress } from './precompress.ts';

export default defineConfig({
  plugins: [precompress()],
  build: {
    target: 'es2022',
    // No data: URLs and no inline script: the page's policy is `default-src 'self'`.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: 'licenses.md' },
  },
  server: {
    // `npm run dev` beside a `steadfast serve` on its default address.
    proxy: {
      '/api': 'http://127.0.0.1:8080',
      '/ws': { target: 'ws://127.0.0.1:8080', ws: true },
    },
  },
});
