//! Content-addressed blobs and their transfer through the tree.
