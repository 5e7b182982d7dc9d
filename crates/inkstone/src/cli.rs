//! The command line: clap types only.

pub(crate) mod compress;
pub(crate) mod ngram;
pub(crate) mod serve;
pub(crate) mod word2vec;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Inkstone (砚): from a folder of texts to a language model that answers.
#[derive(Debug, Parser)]
#[command(name = "inkstone", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Folder of recipes' results and of the artifact store
    #[arg(long, global = true, env = "INKSTONE_RUNS", default_value = "runs", value_name = "DIR")]
    pub(crate) runs: PathBuf,
    /// Threads to compute with (default: all cores); results do not depend on it
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..).map(usize::from))]
    pub(crate) threads: Option<usize>,
    /// No progress bars
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
    /// Only results and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

use clap::builder::TypedValueParser as _;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a recipe; what is cached is not done again
    #[command(
        after_help = "Examples:\n  inkstone run                                  # the built-in quickstart\n  inkstone run recipes/tang-poems.toml --set pretrain.steps=500\n  inkstone run my.toml --from pretrain           # again from that stage on"
    )]
    Run(Run),
    /// What a run would do: stages, what is cached, predicted time and memory
    #[command(
        after_help = "Examples:\n  inkstone plan recipes/shakespeare-char.toml\n  inkstone plan quickstart --json"
    )]
    Plan(Plan),
    /// Write a commented recipe fitted to a folder of texts
    #[command(after_help = "Example:\n  inkstone new my-domain --texts ~/texts && inkstone run my-domain.toml")]
    New(New),
    /// Make an artifact again from its texts on, and compare bytes
    #[command(after_help = "Example:\n  inkstone verify runs/quickstart/model")]
    Verify(One),
    /// What an artifact was made from, back to the texts
    #[command(after_help = "Example:\n  inkstone show runs/quickstart/model")]
    Show(One),
    /// All artifacts of the store
    Ls(Json),
    /// Remove artifacts that no recipe's results need
    Gc(Gc),
    /// What differs between two artifacts: recipe, data, metrics
    #[command(after_help = "Example:\n  inkstone diff runs/a/model runs/b/model\nExit code 1 when something differs.")]
    Diff(Diff),
    /// Talk to a model
    #[command(
        after_help = "Examples:\n  inkstone chat -m runs/quickstart/model\n  inkstone chat -m runs/quickstart/model --prompt \"Where does the baker live?\"\n  cat questions.txt | inkstone chat -m runs/quickstart/model"
    )]
    Chat(Chat),
    /// Let a model go on from a prompt
    #[command(
        after_help = "Example:\n  inkstone generate -m runs/shakespeare-char/model --prompt \"ROMEO:\" --max-new-tokens 200"
    )]
    Generate(Generate),
    /// Serve models to programs (OpenAI's API) and to people (a web page)
    #[command(
        after_help = "Examples:\n  inkstone serve -m runs/quickstart/model          # then open http://127.0.0.1:8080\n  inkstone serve -m chat=runs/a/model -m runs/b/model --port 9000\n  inkstone serve -m runs/a/model --host 0.0.0.0 --api-key keys.txt --tls-cert cert.pem --tls-key key.pem"
    )]
    Serve(serve::Serve),
    /// Loss, perplexity and bits per byte of a model on a text
    #[command(after_help = "Example:\n  inkstone eval runs/shakespeare-char/model --text notes.txt --json")]
    Eval(Eval),
    /// Put adapters into the weights of their base model
    #[command(
        after_help = "Examples:\n  inkstone merge -m runs/base/model --adapter runs/tuned/model/adapter -o merged\n  inkstone merge -m base --adapter law --adapter style@0.5 -o both"
    )]
    Merge(Merge),
    /// Make a model smaller: weights of few bits in a GGUF file, and a table of what it costs
    #[command(
        after_help = "Examples:\n  inkstone quantize runs/quickstart/model --to q8_0\n  inkstone quantize runs/quickstart/model --to q4_k --method gptq --calibrate train.txt --text test.txt\n  inkstone chat -m model-q4_k.gguf"
    )]
    Quantize(compress::Quantize),
    /// A model folder as a GGUF file, or the other way round; a folder with older files and names as one of today
    #[command(
        after_help = "Examples:\n  inkstone convert runs/quickstart/model -o model.gguf\n  inkstone convert model.gguf -o model-folder\n  inkstone convert folder-with-pytorch-model.bin -o model-folder"
    )]
    Convert(compress::Convert),
    /// Word vectors: learn them, ask them, draw them
    #[command(name = "word2vec")]
    Word2Vec(word2vec::Word2Vec),
    /// What a model is: architecture, parameters, tensors, tokenizer
    Info(Model),
    /// What this machine can do, and what is missing for what
    Doctor(Json),
    /// Language models of counts: train, evaluate, explain, generate
    Ngram(ngram::Ngram),
    /// Measure how fast this machine trains and computes
    #[command(
        after_help = "Examples:\n  inkstone bench train --precision bf16\n  inkstone bench train --hidden-size 768 --layers 12 --heads 12 --batch 4 --context 512 --json\n  INKSTONE_ISA=avx2 inkstone bench kernels\n  inkstone bench decode -m model-q4_k.gguf --threads 2"
    )]
    Bench(Bench),
    /// For the project's own checks
    #[command(hide = true)]
    Debug(Debug),
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A recipe file, or the name of a built-in one
    #[arg(default_value = "quickstart")]
    pub(crate) recipe: String,
    /// Change a setting: stage.key=value
    #[arg(long = "set", value_name = "STAGE.KEY=VALUE")]
    pub(crate) sets: Vec<String>,
    /// Run only this stage (may be repeated); its inputs must be cached
    #[arg(long, value_name = "STAGE")]
    pub(crate) only: Vec<String>,
    /// Run this stage and all that depend on it, even when cached
    #[arg(long, value_name = "STAGE")]
    pub(crate) from: Option<String>,
    /// Fail instead of waiting when another run holds the store
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Print the resolved recipe, with every default, and stop
    #[arg(long)]
    pub(crate) resolve: bool,
    /// Write a trace of the kernels for Chrome or Perfetto, and say where the time went
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// A recipe file, or the name of a built-in one
    #[arg(default_value = "quickstart")]
    pub(crate) recipe: String,
    /// Change a setting: stage.key=value
    #[arg(long = "set", value_name = "STAGE.KEY=VALUE")]
    pub(crate) sets: Vec<String>,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// Name of the recipe; it is written to NAME.toml
    pub(crate) name: String,
    /// A folder (or file) of texts
    #[arg(long, value_name = "DIR")]
    pub(crate) texts: PathBuf,
    /// Hours that the training may take on this machine
    #[arg(long, default_value_t = 1.0)]
    pub(crate) hours: f64,
    /// Replace a file of that name
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// A folder, a link below runs/, recipe/stage, or the beginning of an id
    pub(crate) artifact: String,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Json {
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// Only say what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// An artifact
    pub(crate) a: String,
    /// Another one
    pub(crate) b: String,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Model {
    /// A model folder, a .gguf file, recipe/stage, or the beginning of an id
    pub(crate) model: String,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

/// How tokens are drawn.
#[derive(Debug, Clone, Args)]
pub(crate) struct Sampling {
    /// Tokens of an answer at most
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub(crate) max_new_tokens: usize,
    /// 0: always the most likely token
    #[arg(long, value_name = "T")]
    pub(crate) temperature: Option<f32>,
    /// Keep the K most likely tokens
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<usize>,
    /// Keep the most likely tokens that make up this share
    #[arg(long, value_name = "P")]
    pub(crate) top_p: Option<f32>,
    /// Keep tokens at least this share as likely as the most likely one
    #[arg(long, value_name = "P")]
    pub(crate) min_p: Option<f32>,
    /// Make tokens that occurred less likely (1: no change)
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub(crate) repetition_penalty: f32,
    /// End the answer before this text (may be repeated)
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// The same seed gives the same answer
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

/// Adapters over a model.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Adapters {
    /// A PEFT folder to put into the model (may be repeated), with @0.5 by half
    #[arg(long = "adapter", value_name = "DIR[@FACTOR]")]
    pub(crate) adapters: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// The base model: a folder, recipe/stage, or the beginning of an id
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) adapters: Adapters,
    /// The folder to write
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// A model folder, a .gguf file, recipe/stage, or the beginning of an id
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) adapters: Adapters,
    /// Answer this once and stop
    #[arg(long)]
    pub(crate) prompt: Option<String>,
    /// How the model is to behave
    #[arg(long)]
    pub(crate) system: Option<String>,
    #[command(flatten)]
    pub(crate) sampling: Sampling,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// A model folder, a .gguf file, recipe/stage, or the beginning of an id
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) adapters: Adapters,
    /// What to go on from
    #[arg(long, default_value = "")]
    pub(crate) prompt: String,
    /// What CPM-Bee reads instead, e.g. `{"input": "…", "<ans>": ""}`; it says the likeliest below `<ans>`
    #[arg(long, value_name = "JSON", conflicts_with_all = ["prompt", "beams"])]
    pub(crate) dictionary: Option<String>,
    /// Search the likeliest answer with so many beams, instead of drawing tokens
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) beams: Option<u16>,
    /// Beams' scores are divided by this power of the length
    #[arg(long, default_value_t = 1.0, value_name = "P", allow_negative_numbers = true, requires = "beams")]
    pub(crate) length_penalty: f32,
    #[command(flatten)]
    pub(crate) sampling: Sampling,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// A model folder, a .gguf file, recipe/stage, or the beginning of an id
    pub(crate) model: String,
    /// A UTF-8 text file
    #[arg(long, value_name = "FILE")]
    pub(crate) text: PathBuf,
    #[command(flatten)]
    pub(crate) adapters: Adapters,
    /// Tokens that the model sees at once (default: its own context)
    #[arg(long, value_name = "N")]
    pub(crate) context: Option<usize>,
    /// Let a feed-forward or recurrent model go on learning while it reads, by so much a step (dynamic evaluation)
    #[arg(long, value_name = "RATE")]
    pub(crate) dynamic: Option<f64>,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(crate) what: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Training steps of a LLaMA-style model on one batch of random tokens
    Train(BenchTrain),
    /// Training steps of a recurrent network on random tokens
    Recurrent(BenchRecurrent),
    /// Answers of a server, many at a time
    Serve(serve::BenchServe),
    /// Tokens that a model makes one after the other
    Decode(compress::BenchModel),
    /// Tokens of a prompt that a model reads at once
    Prefill(compress::BenchModel),
    /// Matrix products and loops at training shapes, in percent of the processor's roof
    Kernels(BenchKernels),
}

#[derive(Debug, Args)]
pub(crate) struct BenchTrain {
    /// Which kind of decoder: llama or gpt2
    #[arg(long, default_value = "llama", value_parser = ["llama", "gpt2"])]
    pub(crate) architecture: String,
    /// Token ids
    #[arg(long, default_value_t = 8192, value_name = "N")]
    pub(crate) vocab_size: usize,
    /// Width of the residual stream
    #[arg(long, default_value_t = 512, value_name = "N")]
    pub(crate) hidden_size: usize,
    /// Width of the feed-forward layer (default: 8/3 of the hidden size, in steps of 32; of gpt2 four times the hidden size)
    #[arg(long, value_name = "N")]
    pub(crate) intermediate_size: Option<usize>,
    /// Blocks
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) layers: usize,
    /// Attention heads
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) heads: usize,
    /// Rows of a batch
    #[arg(long, default_value = "8", value_name = "N", value_parser = clap::value_parser!(u16).range(1..).map(usize::from))]
    pub(crate) batch: usize,
    /// Tokens of a row
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub(crate) context: usize,
    /// Precision of matrix products: f32 or bf16
    #[arg(long, default_value = "f32", value_parser = ["f32", "bf16"])]
    pub(crate) precision: String,
    /// Train an adapter of this rank instead of all weights
    #[arg(long, value_name = "RANK")]
    pub(crate) lora: Option<usize>,
    /// Names of the projections that the adapter changes, or ends of names (default: all but the head)
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "lora")]
    pub(crate) targets: Vec<String>,
    /// Prefer the first half of the rows to the second (DPO) instead of predicting every token
    #[arg(long)]
    pub(crate) dpo: bool,
    /// Timed steps, after two that are not
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) steps: usize,
    /// Write a trace of the kernels for Chrome or Perfetto, and say where the time went
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchRecurrent {
    /// Which network: lstm, gru or elman
    #[arg(long, default_value = "lstm", value_parser = ["lstm", "gru", "elman"])]
    pub(crate) cell: String,
    /// Token ids
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub(crate) vocab_size: usize,
    /// Units of a layer, and numbers in a token's vector
    #[arg(long, default_value_t = 650, value_name = "N")]
    pub(crate) hidden_size: usize,
    /// Layers
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) layers: usize,
    /// Texts side by side
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) batch: usize,
    /// Tokens that the gradient goes back
    #[arg(long, default_value_t = 35, value_name = "N")]
    pub(crate) context: usize,
    /// Precision of matrix products: f32 or bf16
    #[arg(long, default_value = "f32", value_parser = ["f32", "bf16"])]
    pub(crate) precision: String,
    /// Timed steps, after two that are not
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) steps: usize,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchKernels {
    /// Rows of the products: tokens of a batch
    #[arg(long, default_value_t = 2048, value_name = "N")]
    pub(crate) rows: usize,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Debug {
    #[command(subcommand)]
    pub(crate) what: DebugCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DebugCommand {
    /// {"ids": […]} on stdin → {"logits": [[…]…]}
    Logits(DebugModel),
    /// JSON strings, one a line → their ids
    Tokenize(DebugModel),
    /// {"messages": […], "`add_generation_prompt"`: bool}, one a line → the rendered text
    Render(DebugModel),
}

#[derive(Debug, Args)]
pub(crate) struct DebugModel {
    #[arg(short, long)]
    pub(crate) model: String,
}
