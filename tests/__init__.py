"""Tests, mirroring core/ and pages/. A package, since an installed one of this name would hide a bare folder."""
