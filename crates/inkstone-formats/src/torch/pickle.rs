//! The few instructions of the pickle machine that a dictionary of tensors needs, executed without executing anything.
//!
//! Specification: PEP 307, PEP 3154 and `pickletools` of Python. A pickle is a program; here it can only build numbers, texts,
//! tuples, lists, dictionaries and descriptions of tensors. A name that it wants imported is looked up in the closed list
//! [`Global`], and any other instruction or name is an error. All values lie in one table, so that nothing nests in
//! memory, and each instruction makes at most one.

/// A value, by its place in [`Machine::values`].
pub(super) type Id = u32;

/// What a pickle can make.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Integer(i64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    /// What `persistent_load` would have been asked for: in PyTorch's files, a storage.
    Persistent(Id),
    /// A tensor over a storage.
    Tensor(TensorParts),
    /// Something that is of no use, like a float or a hook.
    Opaque,
}

/// The arguments of `torch._utils._rebuild_tensor_v2` that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorParts {
    pub(super) storage: Id,
    pub(super) offset: Id,
    pub(super) shape: Id,
    pub(super) strides: Id,
}

/// Names that may be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    /// A class of storages, with the type of its numbers.
    Storage(safetensors::Dtype),
}

impl Global {
    fn named(module: &str, name: &str) -> Option<Self> {
        use safetensors::Dtype as D;
        let storage = |dtype| Some(Self::Storage(dtype));
        match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch", "Size") => Some(Self::Size),
            ("torch", "FloatStorage") => storage(D::F32),
            ("torch", "HalfStorage") => storage(D::F16),
            ("torch", "BFloat16Storage") => storage(D::BF16),
            ("torch", "DoubleStorage") => storage(D::F64),
            ("torch", "LongStorage") => storage(D::I64),
            ("torch", "IntStorage") => storage(D::I32),
            ("torch", "ShortStorage") => storage(D::I16),
            ("torch", "CharStorage") => storage(D::I8),
            ("torch", "ByteStorage") => storage(D::U8),
            ("torch", "BoolStorage") => storage(D::BOOL),
            _ => None,
        }
    }
}

/// The machine: bytes left, values, stack, and values to be used again.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: std::collections::BTreeMap<u32, Id>,
}

/// Why a pickle is not accepted.
type Refused = String;

impl<'a> Machine<'a> {
    /// Runs one pickle from the beginning of `bytes`; also the bytes that it took.
    pub(super) fn run(bytes: &'a [u8]) -> Result<(Pickled, usize), Refused> {
        let (values, stack, marks, memo) = (Vec::new(), Vec::new(), Vec::new(), std::collections::BTreeMap::new());
        let mut machine = Self { bytes, at: 0, values, stack, marks, memo };
        while machine.step().map_err(|what| format!("{what} (byte {} of the pickle)", machine.at))? {}
        let root = machine.pop().map_err(|what| format!("{what} (at the end of the pickle)"))?;
        Ok((Pickled { values: machine.values, root }, machine.at))
    }

    /// One instruction; `false` after the last.
    fn step(&mut self) -> Result<bool, Refused> {
        let [code] = self.take::<1>()?;
        match code {
            b'.' => return Ok(false),
            0x80 => {
                self.take::<1>()?;
            }
            0x95 => {
                self.take::<8>()?;
            }
            b'(' => self.marks.push(self.stack.len()),
            // Drops a value; or the state of an object, and of those that are accepted none has any that matters.
            b'0' | b'b' => {
                self.pop()?;
            }
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'J' | b'K' | b'M' | 0x8a | b'G' => self.number(code)?,
            b'X' | 0x8c | b'U' | b'T' => self.text(code)?,
            b')' => self.push(Value::Tuple(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b't' | 0x85..=0x87 => self.tuple(code)?,
            b'a' | b'e' => self.append(code)?,
            b's' | b'u' => self.set(code)?,
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.remember(code)?,
            b'c' | 0x93 => self.global(code)?,
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id));
            }
            b'R' => self.reduce()?,
            _ => return Err(format!("the instruction 0x{code:02x} is not one that a dictionary of tensors needs")),
        }
        Ok(true)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        self.at += N;
        found.copied().ok_or_else(|| "it ends early".to_owned())
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], Refused> {
        let end = self.at.checked_add(length).ok_or("a length is too large")?;
        let found = self.bytes.get(self.at..end).ok_or("it ends early")?;
        self.at = end;
        Ok(found)
    }

    fn line(&mut self) -> Result<&'a str, Refused> {
        let rest = self.bytes.get(self.at..).ok_or("it ends early")?;
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or("a line does not end")?;
        self.at += length + 1;
        std::str::from_utf8(&rest[..length]).map_err(|_| "a name is no text".to_owned())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id, Refused> {
        let below = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= below {
            return Err("the stack is empty".into());
        }
        self.stack.pop().ok_or_else(|| "the stack is empty".to_owned())
    }

    fn top(&self) -> Result<Id, Refused> {
        self.stack.last().copied().ok_or_else(|| "the stack is empty".to_owned())
    }

    /// What lies above the last mark.
    fn marked(&mut self) -> Result<Vec<Id>, Refused> {
        let mark = self.marks.pop().ok_or("there is no mark")?;
        if mark > self.stack.len() {
            return Err("a mark is above the stack".into());
        }
        Ok(self.stack.split_off(mark))
    }

    fn number(&mut self, code: u8) -> Result<(), Refused> {
        let value = match code {
            b'J' => i64::from(i32::from_le_bytes(self.take()?)),
            b'K' => i64::from(u8::from_le_bytes(self.take()?)),
            b'M' => i64::from(u16::from_le_bytes(self.take()?)),
            b'G' => {
                self.take::<8>()?;
                self.push(Value::Opaque);
                return Ok(());
            }
            _ => {
                let [length] = self.take::<1>()?;
                let bytes = self.slice(length.into())?;
                let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
                let mut wide = [if negative { 0xff } else { 0 }; 8];
                wide.get_mut(..bytes.len()).ok_or("a number has more than 64 bits")?.copy_from_slice(bytes);
                i64::from_le_bytes(wide)
            }
        };
        self.push(Value::Integer(value));
        Ok(())
    }

    fn text(&mut self, code: u8) -> Result<(), Refused> {
        let length = match code {
            0x8c | b'U' => usize::from(u8::from_le_bytes(self.take()?)),
            _ => u32::from_le_bytes(self.take()?) as usize,
        };
        let text = std::str::from_utf8(self.slice(length)?).map_err(|_| "a text is not UTF-8")?;
        self.push(Value::Text(text.to_owned()));
        Ok(())
    }

    fn tuple(&mut self, code: u8) -> Result<(), Refused> {
        let parts = if code == b't' {
            self.marked()?
        } else {
            let mut parts = (0..=code - 0x85).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
            parts.reverse();
            parts
        };
        self.push(Value::Tuple(parts));
        Ok(())
    }

    fn append(&mut self, code: u8) -> Result<(), Refused> {
        let parts = if code == b'e' { self.marked()? } else { vec![self.pop()?] };
        match self.top().map(|list| &mut self.values[list as usize])? {
            Value::List(list) => list.extend(parts),
            _ => return Err("something is appended to what is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, code: u8) -> Result<(), Refused> {
        let parts = if code == b'u' {
            self.marked()?
        } else {
            let value = self.pop()?;
            vec![self.pop()?, value]
        };
        match self.top().map(|dict| &mut self.values[dict as usize])? {
            Value::Dict(dict) => dict.extend(parts.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            _ => return Err("something is put into what is no dictionary".into()),
        }
        Ok(())
    }

    fn remember(&mut self, code: u8) -> Result<(), Refused> {
        let key = match code {
            b'q' | b'h' => u32::from(u8::from_le_bytes(self.take()?)),
            0x94 => self.memo.len() as u32,
            _ => u32::from_le_bytes(self.take()?),
        };
        if matches!(code, b'h' | b'j') {
            let id = *self.memo.get(&key).ok_or_else(|| format!("nothing was remembered as {key}"))?;
            self.stack.push(id);
        } else {
            let id = self.top()?;
            self.memo.insert(key, id);
        }
        Ok(())
    }

    fn global(&mut self, code: u8) -> Result<(), Refused> {
        let (module, name) = if code == b'c' {
            (self.line()?.to_owned(), self.line()?.to_owned())
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (&self.values[module as usize], &self.values[name as usize]) {
                (Value::Text(module), Value::Text(name)) => (module.clone(), name.clone()),
                _ => return Err("an import is no text".into()),
            }
        };
        let found = Global::named(&module, &name);
        self.push(Value::Global(found.ok_or_else(|| format!("it asks for {module}.{name}, which is not data"))?));
        Ok(())
    }

    /// A call of one of the names that may be imported.
    fn reduce(&mut self) -> Result<(), Refused> {
        let (arguments, called) = (self.pop()?, self.pop()?);
        let Value::Tuple(parts) = &self.values[arguments as usize] else {
            return Err("a call has no arguments".into());
        };
        let made = match (&self.values[called as usize], parts.as_slice()) {
            (Value::Global(Global::OrderedDict), []) => Value::Dict(Vec::new()),
            (Value::Global(Global::RebuildTensor), &[storage, offset, shape, strides, ..]) => {
                Value::Tensor(TensorParts { storage, offset, shape, strides })
            }
            (Value::Global(Global::RebuildParameter | Global::Size), &[inner, ..]) => {
                self.stack.push(inner);
                return Ok(());
            }
            _ => return Err("it calls what can't be called".into()),
        };
        self.push(made);
        Ok(())
    }
}

/// What a pickle made.
pub(super) struct Pickled {
    values: Vec<Value>,
    pub(super) root: Id,
}

impl Pickled {
    pub(super) fn get(&self, id: Id) -> &Value {
        &self.values[id as usize]
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Value::Integer(n) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    pub(super) fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        match self.get(id) {
            Value::Tuple(parts) | Value::List(parts) => parts.iter().map(|&part| self.size(part)).collect(),
            _ => None,
        }
    }
}
