//! Rebuilds the object when another linker takes over.

fn main() {
    println!("cargo:rerun-if-env-changed=PATH");
}
