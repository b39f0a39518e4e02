//! Nothing is left running or on disk, and the proxy's faults are what they say.

mod fault_proxy;
mod servers;
