"""From the table of a sweep to its verdict: the rules, the looks, what an undecided sweep needs, and the words."""
