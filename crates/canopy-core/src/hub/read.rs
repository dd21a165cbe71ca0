//! The questions that users ask, answered from the committed state.
