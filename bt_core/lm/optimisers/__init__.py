"""The instruction optimisers of other libraries, over this project's program runs, and the LM that writes for them."""
