//! A WebSocket hub on tokio-tungstenite: consistent subscriptions, bounded slow clients, recovery, clean shutdown.
