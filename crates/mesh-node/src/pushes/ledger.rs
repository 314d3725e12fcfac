//! What is recorded of pushes, and who waits for news of them.
