//! llama.cpp, built for this processor from the sources in the package of its Python bindings, below `target/peers`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{python, repo};

/// The source package, which `pip` gets and unpacks.
const VERSION: &str = "0.3.36";
/// What unpacks and builds it, and writes files for it.
const PINS: [&str; 5] = ["cmake==3.31.6", "ninja==1.13.0", "scikit-build-core==0.11.6", "gguf==0.17.1", "numpy==2.4.6"];
/// Its programs that are used here.
const PROGRAMS: [&str; 3] = ["bin/llama-bench", "bin/llama-server", "bin/llama-perplexity"];

/// llama.cpp's programs, and a Python that writes its files.
#[derive(Debug)]
pub(super) struct LlamaCpp {
    folder: PathBuf,
    python: PathBuf,
}

impl LlamaCpp {
    /// Builds it on first use.
    pub(super) fn build(python: &str) -> Result<Self> {
        let folder = repo::target().join("peers/llama-cpp");
        std::fs::create_dir_all(&folder)?;
        let python = python::environment(python, "llama-cpp/venv", &PINS)?;
        if !PROGRAMS.iter().all(|program| folder.join("build").join(program).exists()) {
            repo::section("building llama.cpp", || build(&folder, &python))?;
        }
        Ok(Self { folder, python })
    }

    /// One of its programs.
    pub(super) fn program(&self, name: &str) -> Command {
        Command::new(self.folder.join("build/bin").join(name))
    }

    /// A GGUF file with the shape of a model and drawn blocks, written on first use.
    pub(super) fn shape(&self, name: &str, kind: &str, sizes: &[(&str, usize)]) -> Result<PathBuf> {
        let path = self.folder.join(format!("{name}-{kind}.gguf"));
        if !path.exists() {
            let aside = path.with_extension("part");
            let mut script = Command::new(&self.python);
            script.arg(repo::root().join("fixtures/scripts/peers/llama_shape.py")).arg(&aside).arg(kind);
            script.args(sizes.iter().flat_map(|(name, size)| [format!("--{name}"), size.to_string()]));
            repo::section(&format!("writing {}", path.display()), || repo::demand(&mut script))?;
            std::fs::rename(&aside, &path).with_context(|| format!("naming {}", path.display()))?;
        }
        Ok(path)
    }
}

fn build(folder: &Path, python: &Path) -> Result<()> {
    let tools = python.parent().context("the folder of the environment's programs")?;
    let path = std::env::join_paths(
        std::iter::once(tools.to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    let source = format!("llama_cpp_python-{VERSION}");
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"]);
    pip.arg(format!("llama-cpp-python=={VERSION}")).current_dir(folder).env("PATH", &path);
    repo::demand(&mut pip)?;
    repo::demand(Command::new("tar").arg("xzf").arg(format!("{source}.tar.gz")).current_dir(folder))?;
    let mut configure = Command::new(tools.join("cmake"));
    configure.args(["-G", "Ninja", "-S"]).arg(folder.join(source).join("vendor/llama.cpp"));
    configure.arg("-B").arg(folder.join("build")).env("PATH", &path);
    configure.args(["-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=OFF", "-DGGML_NATIVE=ON"]);
    configure.args(["-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF"]);
    configure.args(["-DLLAMA_BUILD_UI=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF"]);
    repo::demand(&mut configure)?;
    repo::demand(Command::new(tools.join("ninja")).arg("-C").arg(folder.join("build")).args(["-j", "2"]).args(PROGRAMS))
}
