//! KenLM, built from the sources in its `PyPI` package with Debian's Boost, all below `target/peers`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::repo;

/// The source package, which `pip` gets and unpacks.
const VERSION: &str = "0.3.0";
/// The build tool, from `PyPI`.
const CMAKE: &str = "cmake==3.31.6";
/// Debian packages whose files the build needs. They are unpacked, not installed.
const DEBIAN: [&str; 12] = [
    "libboost1.74-dev",
    "libboost-program-options1.74-dev",
    "libboost-thread1.74-dev",
    "libboost-system1.74-dev",
    "libboost-chrono1.74-dev",
    "libboost-date-time1.74-dev",
    "libboost-atomic1.74-dev",
    "libboost-test1.74-dev",
    "libboost-system1.74.0",
    "zlib1g-dev",
    "libbz2-dev",
    "liblzma-dev",
];

/// KenLM's programs.
#[derive(Debug)]
pub(crate) struct Kenlm(PathBuf);

impl Kenlm {
    /// Builds it on first use.
    pub(crate) fn build(python: &str) -> Result<Self> {
        let folder = repo::target().join("peers/kenlm");
        let programs = folder.join("build/bin");
        if !programs.join("kenlm_benchmark").exists() {
            std::fs::create_dir_all(&folder)?;
            repo::section("building KenLM", || build(&folder, python))?;
        }
        Ok(Self(programs))
    }

    /// One of its programs.
    pub(crate) fn program(&self, name: &str) -> Command {
        Command::new(self.0.join(name))
    }

    /// The folder of its programs.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }
}

fn build(folder: &Path, python: &str) -> Result<()> {
    let (venv, system) = (folder.join("venv"), folder.join("system"));
    repo::demand(Command::new(python).args(["-m", "venv"]).arg(&venv))?;
    let pip = || {
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]).current_dir(folder);
        pip
    };
    repo::demand(pip().args(["install", CMAKE]))?;
    repo::demand(pip().args(["download", "--no-deps", "--no-binary", "kenlm", &format!("kenlm=={VERSION}")]))?;
    repo::demand(Command::new("tar").arg("xzf").arg(format!("kenlm-{VERSION}.tar.gz")).current_dir(folder))?;
    unpack(folder, &system)?;
    let cmake = || Command::new(venv.join("bin/cmake"));
    repo::demand(&mut configure(cmake(), folder, &system))?;
    let programs = ["lmplz", "build_binary", "query", "kenlm_benchmark"];
    repo::demand(cmake().arg("--build").arg(folder.join("build")).args(["--parallel", "2", "--target"]).args(programs))
}

fn configure(mut cmake: Command, folder: &Path, system: &Path) -> Command {
    let usr = system.join("usr");
    let set = |name: &str, path: PathBuf| format!("-D{name}={}", path.display());
    cmake.arg("-S").arg(folder.join(format!("kenlm-{VERSION}"))).arg("-B").arg(folder.join("build"));
    cmake.args(["-DCMAKE_BUILD_TYPE=Release", "-DBoost_NO_BOOST_CMAKE=ON", "-DBoost_USE_STATIC_LIBS=ON"]);
    cmake.arg(set("BOOST_ROOT", usr.clone())).arg(set("Boost_INCLUDE_DIR", usr.join("include")));
    cmake.arg(set("Boost_LIBRARY_DIR_RELEASE", usr.join("lib/x86_64-linux-gnu")));
    cmake.arg(set("CMAKE_PREFIX_PATH", usr.clone()));
    cmake.arg(format!("-DCMAKE_CXX_FLAGS=-I{}", usr.join("include").display()));
    cmake
}

fn unpack(folder: &Path, system: &Path) -> Result<()> {
    let packages = folder.join("debian");
    std::fs::create_dir_all(&packages)?;
    repo::demand(Command::new("apt-get").arg("download").args(DEBIAN).current_dir(&packages))?;
    for package in std::fs::read_dir(&packages).context("listing the packages")? {
        repo::demand(Command::new("dpkg").arg("-x").arg(package?.path()).arg(system))?;
    }
    Ok(())
}
