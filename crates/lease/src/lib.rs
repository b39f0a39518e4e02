//! Distributed locks with fencing tokens and leader election.
