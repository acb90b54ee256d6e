//! [`Case`]: one deed, and who does it.

/// A deed of one size, done by each library that has it.
pub(crate) struct Case {
    /// The group it belongs to.
    pub(crate) question: &'static str,
    /// The deed.
    pub(crate) name: String,
    /// How often a batch does it.
    pub(crate) units: u64,
    /// Bytes of payload in each.
    pub(crate) bytes: u64,
    /// Who does it, fanwire first.
    pub(crate) contenders: Vec<Contender>,
}

/// A library at its deed.
pub(crate) struct Contender {
    /// The library, or what else is compared with.
    pub(crate) name: &'static str,
    /// Does it [`units`](Case::units) times.
    pub(crate) batch: Box<dyn FnMut()>,
}

impl Case {
    pub(crate) fn new(question: &'static str, name: String, units: u64, bytes: u64) -> Case {
        Case { question, name, units, bytes, contenders: Vec::new() }
    }

    /// With one more library.
    pub(crate) fn with(mut self, name: &'static str, batch: impl FnMut() + 'static) -> Case {
        self.contenders.push(Contender { name, batch: Box::new(batch) });
        self
    }
}
