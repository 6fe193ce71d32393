"""What the benchmarks measure this project against: plain transformers, llama.cpp, and DSPy's own optimisers."""
