//! Holds nothing: the tests are in `tests/`. `binaries` uses the six real binaries as people do; `manifests` compares
//! what deploys them with what they are.
