//! Certificates, made by `openssl`.

#![allow(dead_code, reason = "each test crate uses its own part of this")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// An authority of one's own.
pub(crate) struct Authority {
    directory: TempDir,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

const CURVE: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

impl Authority {
    pub(crate) fn new() -> Authority {
        let directory = tempfile::tempdir().expect("a directory");
        // Two of them must not have one name.
        let name = directory.path().file_name().expect("a name");
        let name = name.to_string_lossy();
        let command =
            format!("req -x509 {CURVE} -days 30 -subj /CN={name} -keyout ca.key -out ca.pem");
        openssl(directory.path(), &command);
        Authority { directory }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Issues a certificate for these names, such as `DNS:play.example.com,IP:127.0.0.1`, in files that
    /// begin with `file`.
    pub(crate) fn issue(&self, file: &str, names: &str) -> Issued {
        self.issue_with(file, names, "-days 30")
    }

    /// Issues one with an RSA key.
    pub(crate) fn issue_rsa(&self, file: &str, names: &str) -> Issued {
        self.issue_of("-newkey rsa:2048 -nodes", file, names, "-days 30")
    }

    /// Issues one with other options of `openssl x509`.
    pub(crate) fn issue_with(&self, file: &str, names: &str, options: &str) -> Issued {
        self.issue_of(CURVE, file, names, options)
    }

    fn issue_of(&self, kind: &str, file: &str, names: &str, options: &str) -> Issued {
        let path = |end: &str| self.directory.path().join(format!("{file}.{end}"));
        let extensions = format!("subjectAltName={names}\n");
        fs::write(path("names"), extensions).expect("written");
        let request = format!("req {kind} -subj /CN={file} -keyout {file}.key -out {file}.csr");
        openssl(self.directory.path(), &request);
        let sign = format!(
            "x509 -req -in {file}.csr -CA ca.pem -CAkey ca.key -CAcreateserial {options} \
             -extfile {file}.names -out {file}.pem"
        );
        openssl(self.directory.path(), &sign);
        Issued {
            certificate: path("pem"),
            key: path("key"),
        }
    }

    /// Issues a certificate without names that has expired long ago.
    pub(crate) fn issue_ended(&self, file: &str) -> Issued {
        let issued = self.issue(file, "DNS:nobody");
        let settings = "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nnew_certs_dir=.\nserial=serial\n\
                        default_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n";
        for (name, text) in [("ca.cnf", settings), ("index", ""), ("serial", "01\n")] {
            fs::write(self.path(name), text).expect("written");
        }
        let sign = format!(
            "ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in {file}.csr \
             -startdate 20200101000000Z -enddate 20200201000000Z -extfile {file}.names -out {file}.pem"
        );
        openssl(self.directory.path(), &sign);
        issued
    }

    /// Returns a path for further files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

pub(crate) fn openssl(directory: &Path, command: &str) {
    let output = Command::new("openssl")
        .args(command.split_whitespace())
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("the openssl command");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {command}: {said}");
}
