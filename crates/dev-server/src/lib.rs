//! Serves a Vite front end: the real Vite in development, built assets in production.
