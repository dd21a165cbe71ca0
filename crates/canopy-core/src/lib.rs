//! Pure decisions and the node state machine.
