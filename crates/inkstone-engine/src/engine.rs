//! The engine on a thread of its own.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use inkstone_models::{Kind, Model};

use crate::translator::Translator;
use crate::{EngineError, Limits, Load, Request, Scheduler};

/// What the thread is told.
enum Command {
    Submit(Box<Request>, Sender<Result<(), EngineError>>),
    Stop,
}

/// A model that answers many at once, on a thread of its own.
#[derive(Debug)]
pub struct Engine {
    commands: Sender<Command>,
    load: Arc<Mutex<Load>>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the model does not write.
    pub fn start(model: Arc<Model>, limits: Limits) -> Result<Self, EngineError> {
        let first = Worker::new(&model, limits)?.load();
        let (commands, received) = channel();
        let load = Arc::new(Mutex::new(first));
        let shown = Arc::clone(&load);
        let thread =
            std::thread::Builder::new().name("engine".into()).spawn(move || run(&model, limits, &received, &shown));
        Ok(Self { commands, load, thread: thread.ok() })
    }

    /// Takes a request in.
    ///
    /// # Errors
    /// As [`Scheduler::submit`], or if the engine was stopped.
    pub fn submit(&self, request: Request) -> Result<(), EngineError> {
        let (answer, answered) = channel();
        let command = Command::Submit(Box::new(request), answer);
        self.commands.send(command).map_err(|_| EngineError::Stopped)?;
        answered.recv().unwrap_or(Err(EngineError::Stopped))
    }

    /// What it has done and holds, as of its last pass.
    pub fn load(&self) -> Load {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Fails only when the thread is gone already.
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What does the work, by the kind of the model.
enum Worker<'a> {
    Decoder(Box<Scheduler<'a>>),
    EncoderDecoder(Box<Translator<'a>>),
}

impl<'a> Worker<'a> {
    fn new(model: &'a Model, limits: Limits) -> Result<Self, EngineError> {
        Ok(match model.kind() {
            Kind::EncoderDecoder => Self::EncoderDecoder(Box::new(Translator::new(model, limits)?)),
            Kind::Decoder | Kind::Encoder => Self::Decoder(Box::new(Scheduler::new(model, limits)?)),
        })
    }

    fn submit(&mut self, request: Request) -> Result<(), EngineError> {
        match self {
            Self::Decoder(scheduler) => scheduler.submit(request),
            Self::EncoderDecoder(translator) => translator.submit(request),
        }
    }

    fn step(&mut self) {
        match self {
            Self::Decoder(scheduler) => scheduler.step(),
            Self::EncoderDecoder(translator) => translator.step(),
        }
    }

    fn load(&self) -> Load {
        match self {
            Self::Decoder(scheduler) => scheduler.load(),
            Self::EncoderDecoder(translator) => translator.load(),
        }
    }

    fn is_idle(&self) -> bool {
        match self {
            Self::Decoder(scheduler) => scheduler.is_idle(),
            Self::EncoderDecoder(translator) => translator.is_idle(),
        }
    }
}

fn run(model: &Model, limits: Limits, commands: &Receiver<Command>, load: &Mutex<Load>) {
    let Ok(mut worker) = Worker::new(model, limits) else { return };
    loop {
        let next = if worker.is_idle() {
            commands.recv().map_err(|_| TryRecvError::Disconnected)
        } else {
            commands.try_recv()
        };
        match next {
            Ok(Command::Submit(request, answer)) => {
                let _ = answer.send(worker.submit(*request));
            }
            Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => worker.step(),
        }
        *load.lock().unwrap_or_else(PoisonError::into_inner) = worker.load();
    }
}
