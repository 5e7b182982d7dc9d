//! `cargo xtask page`: the page, driven in a headless Chromium by its debugging protocol, with pictures to look at.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::program::Program;
use crate::served::{KEY, ModelArguments, Served};
use crate::{Verdict, repo};

/// How long something on the page may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is driven.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The browser
    #[arg(long, default_value = "chromium")]
    browser: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let (program, scratch) = (Program::build()?, repo::scratch("page")?);
    let model = arguments.model.folder(&program, &scratch)?;
    let served = Served::start(&program, &model, &scratch, &[])?;
    let mut page = Page::open(&arguments.browser, &scratch)?;
    let holds = drive(&mut page, served)?;
    println!("pictures: {}", scratch.display());
    Ok(holds.into())
}

/// Everything that a visitor does.
fn drive(page: &mut Page, served: Served) -> Result<bool> {
    page.size(1200, 800, "light")?;
    page.call("Page.navigate", &json!({ "url": served.address }))?;
    page.until("a key is asked for", "document.querySelector('#status')?.dataset.state === 'needKey'")?;
    page.run(&format!("(() => {{ const key = document.querySelector('#key'); key.value = '{KEY}'; key.dispatchEvent(new Event('change')); }})()"))?;
    page.until(
        "the model is there",
        "document.querySelector('#model').value === 'model' && document.querySelector('#status').hidden",
    )?;
    page.picture("welcome")?;
    page.ask("Where does the baker live?")?;
    page.until(
        "an answer",
        "document.querySelectorAll('.message.assistant').length === 1 && document.querySelector('#stop').hidden",
    )?;
    page.ask("你好，镇上有什么？")?;
    page.until(
        "a second answer",
        "document.querySelectorAll('.message.assistant').length === 2 && document.querySelector('#stop').hidden",
    )?;
    page.picture("answers")?;
    page.run("document.querySelector('#sure').click()")?;
    page.run("document.querySelector('.tokens span').dispatchEvent(new Event('mouseenter'))")?;
    page.until(
        "how sure it was",
        "!document.querySelector('#tip').hidden && document.querySelector('#tip').textContent.includes('%')",
    )?;
    page.picture("how-sure")?;
    page.run("document.querySelector('#sure').click()")?;
    page.run("[...document.querySelectorAll('.message.user button')].find((one) => one.title === 'Edit').click()")?;
    page.run("(() => { const area = document.querySelector('.editor textarea'); area.value = 'Who is the baker?'; area.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true })); })()")?;
    page.until("a branch", "document.querySelector('.message.user .info')?.textContent === '2/2' && document.querySelector('#stop').hidden")?;
    page.run("[...document.querySelectorAll('button')].find((one) => one.title === 'Earlier version').click()")?;
    page.until("the first branch again", "document.querySelectorAll('.message.assistant').length === 2")?;
    page.call("Page.reload", &json!({}))?;
    page.until("the conversation after a reload", "document.querySelectorAll('.message.assistant').length === 2 && document.querySelector('#model').value === 'model'")?;
    stop_an_answer(page)?;
    page.run("(() => { const language = document.querySelector('#language'); language.value = 'zh'; language.dispatchEvent(new Event('change')); })()")?;
    page.until(
        "Chinese",
        "document.querySelector('#send').textContent === '发送' && document.documentElement.lang === 'zh-Hans'",
    )?;
    page.size(1200, 800, "dark")?;
    page.run("document.querySelector('#settings').showModal()")?;
    page.picture("settings-dark")?;
    page.run("document.querySelector('#settings').close()")?;
    page.size(390, 780, "light")?;
    page.until("nothing is wider than a phone", "document.documentElement.scrollWidth <= 390")?;
    page.picture("phone")?;
    drop(served);
    page.ask("Hello?")?;
    page.until("a lost connection is told", "document.querySelector('#status')?.dataset.state === 'lost'")?;
    page.picture("lost")?;
    for error in &page.errors {
        println!("FAIL the page complained: {error}");
    }
    Ok(page.errors.is_empty())
}

/// An answer that would go on is stopped by a key.
fn stop_an_answer(page: &mut Page) -> Result<()> {
    page.run("document.querySelector('#new').click()")?;
    // A hurried visitor: the key comes as soon as there is something to stop.
    page.run("new MutationObserver((_, own) => { if (document.querySelector('#stop').hidden) return; own.disconnect(); document.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' })); }).observe(document.querySelector('#stop'), { attributes: true })")?;
    page.ask("Tell me everything.")?;
    page.until(
        "an answer that was stopped",
        "[...document.querySelectorAll('.info')].some((one) => one.textContent.includes('stopped'))",
    )
}

/// A page in a browser, by Chrome's debugging protocol over a pair of pipes.
struct Page {
    browser: Child,
    to: File,
    from: BufReader<File>,
    session: String,
    next: u64,
    pictures: PathBuf,
    /// Exceptions and messages of the kind `error`.
    errors: Vec<String>,
}

impl Drop for Page {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}

impl Page {
    fn open(browser: &str, scratch: &Path) -> Result<Self> {
        let (to, from) = (scratch.join("to"), scratch.join("from"));
        repo::demand(Command::new("mkfifo").args([&to, &from]))?;
        let script = "exec \"$0\" --headless --no-sandbox --disable-gpu --remote-debugging-pipe --user-data-dir=profile about:blank 3<to 4>from";
        let mut command = Command::new("sh");
        command.args(["-c", script, browser]).current_dir(scratch).stderr(Stdio::null()).stdout(Stdio::null());
        let browser = command.spawn().context("starting the browser")?;
        let to = File::options().write(true).open(to)?;
        let from = BufReader::new(File::open(from)?);
        let (session, pictures) = (String::new(), scratch.to_owned());
        let mut page = Self { browser, to, from, session, next: 0, pictures, errors: Vec::new() };
        let target = page.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let attached =
            page.call("Target.attachToTarget", &json!({ "targetId": target["targetId"], "flatten": true }))?;
        attached["sessionId"].as_str().context("a session")?.clone_into(&mut page.session);
        for domain in ["Page.enable", "Runtime.enable"] {
            page.call(domain, &json!({}))?;
        }
        Ok(page)
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes())?;
        loop {
            let mut bytes = Vec::new();
            self.from.read_until(0, &mut bytes)?;
            if bytes.pop().is_none() {
                bail!("the browser is gone");
            }
            let mut answer: Value = serde_json::from_slice(&bytes)?;
            if answer["method"] == "Runtime.exceptionThrown" {
                self.errors.push(answer["params"]["exceptionDetails"]["exception"]["description"].to_string());
            }
            if answer["id"] == self.next {
                anyhow::ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return Ok(answer["result"].take());
            }
        }
    }

    fn run(&mut self, script: &str) -> Result<Value> {
        let parameters = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", &parameters)?;
        anyhow::ensure!(result["exceptionDetails"].is_null(), "{script}: {}", result["exceptionDetails"]);
        Ok(result["result"]["value"].take())
    }

    /// Waits until something holds.
    fn until(&mut self, what: &str, condition: &str) -> Result<()> {
        let begin = Instant::now();
        while self.run(condition)? != Value::Bool(true) {
            if begin.elapsed() > PATIENCE {
                self.picture("failed")?;
                bail!("{what}: it did not come");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("ok   {what}");
        Ok(())
    }

    fn ask(&mut self, question: &str) -> Result<()> {
        let question = Value::from(question);
        self.run(&format!("(() => {{ document.querySelector('#input').value = {question}; document.querySelector('#composer').requestSubmit(); }})()"))?;
        Ok(())
    }

    fn size(&mut self, width: u32, height: u32, scheme: &str) -> Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", &size)?;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", &media)?;
        Ok(())
    }

    fn picture(&mut self, name: &str) -> Result<()> {
        let taken = self.call("Page.captureScreenshot", &json!({ "format": "png" }))?;
        let text = self.pictures.join(format!("{name}.base64"));
        std::fs::write(&text, taken["data"].as_str().context("a picture")?)?;
        let decoded = Command::new("base64").arg("-d").arg(&text).output()?;
        std::fs::write(self.pictures.join(format!("{name}.png")), decoded.stdout)?;
        Ok(std::fs::remove_file(text)?)
    }
}
