"""Tests of the recipes; a package, since names of its files recur elsewhere."""
